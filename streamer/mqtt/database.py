"""The outbox's SQLite file: open, check, salvage and lock."""

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from streamer.errors import UserError

VERSION = 2
_READABLE = {0, 1, VERSION}

DAMAGE = (sqlite3.Error, ValueError, TypeError, OverflowError)
"""What reading or writing a damaged file may raise: sqlite3 passes on errors of decoding and of large numbers."""

_MAX_ID = 2**53

_SCHEMA = """
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY,
    created REAL NOT NULL,
    session TEXT NOT NULL,
    type TEXT NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS least_worth ON outbox (id) WHERE type = 'speech_update';
CREATE TABLE IF NOT EXISTS age (seconds REAL NOT NULL, boot TEXT NOT NULL, uptime REAL NOT NULL);
"""


@dataclass(frozen=True, slots=True)
class StoredEvent:
    """An event that waits for delivery."""

    session: str
    type: str
    payload: bytes
    id: int = 0
    """Its position in the order, once it is stored."""


Row = tuple[int, float, str, str, bytes]
"""id, age clock when it was stored, session, type, payload."""


def open_file(file: Path) -> sqlite3.Connection:
    """Open a database that only its owner can read, and check it.

    Raises:
        sqlite3.OperationalError: if the file cannot be opened or written.
        sqlite3.Error, ValueError, TypeError, OverflowError: if it is damaged.
    """
    # Transcripts: readable by the owner only.
    os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    database = open_database(str(file))
    try:
        _check(database)
    except BaseException:
        database.close()
        raise
    return database


def _check(database: sqlite3.Connection) -> None:
    (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
    if verdict != "ok":
        raise sqlite3.DatabaseError(verdict)
    (bad,) = database.execute(
        "SELECT count(*) FROM outbox WHERE typeof(payload) != 'blob' "
        "OR typeof(session) != 'text' OR typeof(type) != 'text' OR typeof(created) != 'real' "
        "OR id NOT BETWEEN 1 AND ?",
        (_MAX_ID,),
    ).fetchone()
    if bad:
        raise sqlite3.DatabaseError(f"{bad} unreadable rows")


def open_database(name: str) -> sqlite3.Connection:
    """Open a database, or one in memory (`:memory:`), and create or migrate its tables."""
    # Opened and used by the owner thread alone, except for closing.
    database = sqlite3.connect(name, check_same_thread=False)
    try:
        _prepare(database)
    except BaseException:
        database.close()
        raise
    return database


def _prepare(database: sqlite3.Connection) -> None:
    (version,) = database.execute("PRAGMA user_version").fetchone()
    if version not in _READABLE:
        raise sqlite3.DatabaseError(f"made by another version of streamer ({version})")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.executescript(_SCHEMA)
    if version != VERSION:
        with database:
            database.execute("UPDATE outbox SET created = 0.0")  # was the wall clock's
            database.execute(f"PRAGMA user_version = {VERSION}")


def salvage(database: sqlite3.Connection) -> Iterator[Row]:
    """Give the readable rows of a database in order, up to the first page that cannot be read."""
    with suppress(*DAMAGE):
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in _READABLE:
            return
        database.text_factory = bytes
        for id_, created, session, type_, payload in database.execute(
            "SELECT id, created, session, type, payload FROM outbox ORDER BY id"
        ):
            with suppress(AttributeError, *DAMAGE):
                if 0 < id_ <= _MAX_ID and isinstance(payload, bytes):
                    yield id_, float(created), session.decode(), type_.decode(), payload


def insert(database: sqlite3.Connection, rows: Iterator[Row]) -> None:
    """Insert rows with their ids."""
    database.executemany("INSERT INTO outbox VALUES (?, ?, ?, ?, ?)", rows)


def lock(file: Path) -> BinaryIO | None:
    """Lock a file for this process, None if another process holds it; the lock ends with the process."""
    handle = file.open("a+b")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.close()
        return None
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n".encode())
    handle.flush()
    return handle


def held_by_another(file: Path) -> UserError:
    """Make the error of an outbox that another process holds."""
    with suppress(OSError), file.open("rb") as handle:
        holder = handle.read(20).decode(errors="replace").strip()
        if holder.isdecimal():
            return UserError(
                f"MQTT: another streamer (process {holder}) publishes under the same node name to "
                "this broker; stop it, or choose another name with mqtt.node"
            )
    return UserError(
        "MQTT: another streamer publishes under the same node name to this broker; stop it, "
        "or choose another name with mqtt.node"
    )

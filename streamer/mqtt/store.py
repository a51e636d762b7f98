"""The outbox's database: SQLite in WAL mode, and what happens when it is damaged, full or cannot be."""

import fcntl
import os
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from streamer.clock import Clock
from streamer.errors import UserError

IN_MEMORY_LIMIT = 16_000_000
"""Bytes that may wait in memory when the disk does not take them."""

LEAST_WORTH = "speech_update"
"""The type of event that is given up first."""

_ROW = 100
"""Bytes that a row takes beside its payload, about."""

_AGE_CHECK = 60.0
"""Seconds between looks for what has become too old."""

_VERSION = 1


_SCHEMA = f"""
PRAGMA user_version = {_VERSION};
CREATE TABLE IF NOT EXISTS outbox (
    id INTEGER PRIMARY KEY,
    created REAL NOT NULL,
    session TEXT NOT NULL,
    type TEXT NOT NULL,
    payload BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS least_worth ON outbox (id) WHERE type = 'speech_update';
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """An event that waits for delivery."""

    session: str
    type: str
    payload: bytes
    id: int = 0
    """Its place in the order, once it is stored."""


class Store:
    """Events on disk, in order, within bounds. Belongs to one thread.

    Commits survive the death of the process; after a power cut the last ones may be missing, which leaves a sound,
    shorter store.

    Args:
        file: the database; its directory is made if need be.
        limit: bytes that may wait.
        max_age: seconds that an event may wait.
        clock: tells the events' age.
        problem: gets a line about what went wrong; the store goes on.
        given_up: gets the number of events, by type, that will not be delivered.
        waiting: gets the change of the number of events, beyond those that are added.
    """

    def __init__(
        self,
        file: Path,
        *,
        limit: float,
        max_age: float,
        clock: Clock,
        problem: Callable[[str], None],
        given_up: Callable[[Counter[str]], None],
        waiting: Callable[[int], None],
    ) -> None:
        self.file = file
        self.on_disk = True
        self._limit = limit
        self._max_age = max_age
        self._clock = clock
        self._problem = problem
        self._given_up = given_up
        self._waiting = waiting
        self._database: sqlite3.Connection
        self._lock: BinaryIO | None = None
        self._rows = 0
        self._bytes = 0
        self._next_id = 1
        self._next_age_check = 0.0

    def open(self) -> None:
        """Lock and open the file; what a former run left is there.

        Raises:
            UserError: if another process has it.
        """
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = _lock(self.file.with_suffix(".lock"))
        except OSError as error:
            self._go_to_memory(error.strerror or str(error))
            return
        try:
            self._database = self._connect()
        except sqlite3.OperationalError as error:
            self._go_to_memory(str(error))
        except sqlite3.DatabaseError as error:
            self._set_aside(error)

    def _connect(self) -> sqlite3.Connection:
        # Transcripts are for nobody else's eyes.
        os.close(os.open(self.file, os.O_CREAT | os.O_RDWR, 0o600))
        database = _database(str(self.file))
        try:
            (verdict,) = database.execute("PRAGMA quick_check(1)").fetchone()
            if verdict != "ok":
                raise sqlite3.DatabaseError(verdict)
            self._measure(database)
        except sqlite3.Error:
            database.close()
            raise
        return database

    def _measure(self, database: sqlite3.Connection) -> None:
        rows, size, last = database.execute(
            "SELECT count(*), coalesce(sum(length(payload)), 0), coalesce(max(id), 0) FROM outbox"
        ).fetchone()
        self._waiting(rows - self._rows)
        self._rows = rows
        self._bytes = size + rows * _ROW
        self._next_id = max(self._next_id, last + 1)

    def fetch(self, after: int, limit: int) -> list[Entry]:
        """The next events in order, at most `limit`; empty if there are none."""
        query = "SELECT session, type, payload, id FROM outbox WHERE id > ? ORDER BY id LIMIT ?"
        try:
            rows = self._database.execute(query, (after, limit)).fetchall()
        except sqlite3.Error as error:
            self._recover(error)
            rows = self._database.execute(query, (after, limit)).fetchall()
        return [Entry(*row) for row in rows]

    def write(self, added: Sequence[Entry], removed: Iterable[int]) -> None:
        """Store and remove events in one transaction."""
        removed = list(removed)
        while True:
            try:
                self._write(added, removed)
            except sqlite3.Error as error:
                self._recover(error)  # at the latest memory takes them
            else:
                return

    def close(self) -> None:
        """Close and unlock the file."""
        self._database.close()
        if self._lock is not None:
            self._lock.close()

    def _write(self, added: Sequence[Entry], removed: Iterable[int]) -> None:
        now = self._clock.now().timestamp()
        rows = [
            (id_, now, entry.session, entry.type, entry.payload)
            for id_, entry in enumerate(added, self._next_id)
        ]
        before = self._rows, self._bytes
        try:
            with self._database:
                self._delete(removed)
                self._database.executemany("INSERT INTO outbox VALUES (?, ?, ?, ?, ?)", rows)
                self._rows += len(added)
                self._bytes += sum(len(entry.payload) + _ROW for entry in added)
                lost = self._shrink() + self._expire(now)
        except sqlite3.Error:
            self._rows, self._bytes = before
            raise
        self._next_id += len(added)
        self._waiting(self._rows - before[0] - len(added))
        if lost:
            self._given_up(lost)

    def _delete(self, ids: Iterable[int]) -> Counter[str]:
        """Delete rows, and give the number of each type."""
        types: Counter[str] = Counter()
        for id_ in ids:
            row = self._database.execute(
                "DELETE FROM outbox WHERE id = ? RETURNING type, length(payload)", (id_,)
            ).fetchone()
            if row is not None:
                types[row[0]] += 1
                self._rows -= 1
                self._bytes -= row[1] + _ROW
        return types

    def _shrink(self) -> Counter[str]:
        """Make room: the oldest updates first, then the oldest of all."""
        lost: Counter[str] = Counter()
        if self._bytes <= self._limit:
            return lost
        room = 0.9 * self._limit  # so that it need not be done for every event
        for where in (f"WHERE type = '{LEAST_WORTH}'", ""):
            while self._bytes > room:
                query = f"SELECT id FROM outbox {where} ORDER BY id LIMIT 100"  # noqa: S608 - constants
                ids = [id_ for (id_,) in self._database.execute(query)]
                if not ids:
                    break
                for id_ in ids:
                    if self._bytes > room:
                        lost += self._delete([id_])
        return lost

    def _expire(self, now: float) -> Counter[str]:
        if now < self._next_age_check:
            return Counter()
        self._next_age_check = now + min(_AGE_CHECK, self._max_age)
        query = "SELECT id FROM outbox WHERE created < ?"
        return self._delete([i for (i,) in self._database.execute(query, (now - self._max_age,))])

    def _recover(self, error: sqlite3.Error) -> None:
        """Go on with another database than the one that failed."""
        if not self.on_disk:
            raise error
        if isinstance(error, sqlite3.OperationalError):
            self._go_to_memory(str(error), self._database)
        else:
            self._database.close()
            self._set_aside(error)

    def _go_to_memory(self, reason: str, disk: sqlite3.Connection | None = None) -> None:
        """Keep events in memory from now on, with what can still be read from the disk."""
        self.on_disk = False
        self._limit = min(self._limit, IN_MEMORY_LIMIT)
        self._database = _database(":memory:")
        if disk is not None:
            with suppress(sqlite3.Error), self._database:
                rows = disk.execute("SELECT * FROM outbox ORDER BY id")
                self._database.executemany("INSERT INTO outbox VALUES (?, ?, ?, ?, ?)", rows)
            disk.close()
        self._measure(self._database)
        self._problem(f"{self.file}: {reason}; events wait in memory until they are delivered")

    def _set_aside(self, error: sqlite3.Error) -> None:
        """Begin anew beside a damaged file, which is kept."""
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%S")
        aside = self.file.with_suffix(f".damaged-{stamp}{self.file.suffix}")
        try:
            for ending in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    Path(f"{self.file}{ending}").rename(f"{aside}{ending}")
            self._database = self._connect()
        except (OSError, sqlite3.Error) as second:
            self._go_to_memory(str(second))
        else:
            self._problem(
                f"{self.file}: damaged ({error}); set aside as {aside.name}, going on with a new one"
            )


def _database(name: str) -> sqlite3.Connection:
    # Opened and used by the owner thread alone, except for closing.
    database = sqlite3.connect(name, check_same_thread=False)
    try:
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version not in {0, _VERSION}:
            raise sqlite3.DatabaseError(f"made by another version of streamer ({version})")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute("PRAGMA synchronous = NORMAL")
        database.executescript(_SCHEMA)
    except sqlite3.Error:
        database.close()
        raise
    return database


def _lock(file: Path) -> BinaryIO:
    """Lock a file for this process; the lock ends with it, however it ends."""
    handle = file.open("a+b")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        handle.seek(0)
        holder = handle.read(20).decode(errors="replace").strip() or "?"
        handle.close()
        raise UserError(
            f"MQTT: another streamer (process {holder}) publishes under the same node name to this "
            "broker; stop it, or choose another name with mqtt.node"
        ) from None
    handle.truncate(0)
    handle.write(f"{os.getpid()}\n".encode())
    handle.flush()
    return handle

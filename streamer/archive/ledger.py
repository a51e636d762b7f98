"""Ledger of calls: a small database in the target folder, safe against kills at any moment."""

import contextlib
import sqlite3
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

from streamer.errors import UserError

FILE = "ledger.sqlite"
MAX_ATTEMPTS = 3
"""A call that ended its worker so often is set aside."""

State = Literal["done", "failed", "set aside"]

_VERSION = 2
_SCHEMA = """
CREATE TABLE IF NOT EXISTS calls (
    name TEXT PRIMARY KEY,
    source TEXT NOT NULL,
    state TEXT NOT NULL,
    recipe TEXT NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    session TEXT NOT NULL DEFAULT '',
    seconds REAL NOT NULL DEFAULT 0,
    cpu REAL NOT NULL DEFAULT 0,
    tabled INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE IF NOT EXISTS unfinished_part (name TEXT NOT NULL) STRICT
"""


_COLUMNS = "name, source, state, recipe, attempts, reason, session, seconds, cpu, tabled"


@dataclass(frozen=True, slots=True)
class Call:
    """One row: what became of a call."""

    name: str
    source: str
    state: State
    recipe: str
    """Digest of the bundle and the settings that it was analysed with."""
    attempts: int
    """Workers that it has ended."""
    reason: str
    """Why it failed, for people."""
    session: str
    seconds: float
    """Of audio."""
    cpu: float
    """CPU seconds of the worker."""
    tabled: bool
    """Whether its rows are in the tables."""


class Ledger:
    """The rows of a target folder; a context manager. One process at a time writes.

    Args:
        folder: the target.

    Raises:
        UserError: on entering, if it cannot be opened, is no ledger, or another run holds it.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / FILE
        self._database: sqlite3.Connection

    def __enter__(self) -> Self:
        try:
            self._database = sqlite3.connect(self._path, timeout=1, isolation_level=None)
            self._database.execute("PRAGMA locking_mode=EXCLUSIVE")
            # A power failure costs the last rows, not the ledger: those calls are done again.
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute("BEGIN EXCLUSIVE")
            self._create()
            self._database.execute("COMMIT")
        except sqlite3.OperationalError as error:
            what = "another run writes there" if "locked" in str(error) else str(error)
            raise UserError(f"{self._path}: {what}") from None
        except sqlite3.DatabaseError:
            raise UserError(f"{self._path}: damaged; move it away to start over") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._database.close()

    def _create(self) -> None:
        """Make the tables in a new file."""
        if self._database.execute("SELECT * FROM sqlite_master").fetchone() is None:
            for statement in _SCHEMA.split(";"):
                self._database.execute(statement)
            self._database.execute(f"PRAGMA user_version = {_VERSION}")
        elif self._database.execute("PRAGMA user_version").fetchone()[0] != _VERSION:
            self._database.close()
            raise UserError(f"{self._path}: made by another version; choose another folder")

    def calls(self) -> dict[str, Call]:
        """Give all rows by name."""
        rows = self._database.execute(
            f"SELECT {_COLUMNS} FROM calls"  # noqa: S608 - names of our own
        )
        return {row[0]: _call(row) for row in rows}

    def write(self, call: Call) -> None:
        """Write a row, in place of the one of the same name."""
        self._database.execute(
            f"INSERT OR REPLACE INTO calls ({_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",  # noqa: S608
            (
                *(call.name, call.source.encode(errors="replace").decode(), call.state),
                *(call.recipe, call.attempts, call.reason, call.session, call.seconds),
                *(call.cpu, int(call.tabled)),
            ),
        )

    def begin_part(self, part: str) -> None:
        """Note that a part of the tables is about to be written."""
        with self._transaction():
            self._database.execute("DELETE FROM unfinished_part")
            self._database.execute("INSERT INTO unfinished_part VALUES (?)", (part,))

    def unfinished_part(self) -> str | None:
        """Give the part that a run was writing when it was killed: its calls count as not in the tables."""
        found = self._database.execute("SELECT name FROM unfinished_part").fetchone()
        return found[0] if found else None

    def finish_part(self, names: Iterable[str]) -> None:
        """Note that the part is written, and with it the rows of these calls."""
        with self._transaction():
            self._database.execute("DELETE FROM unfinished_part")
            self._database.executemany(
                "UPDATE calls SET tabled = 1 WHERE name = ?", [(name,) for name in names]
            )

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


def _call(row: tuple[Any, ...]) -> Call:
    name, source, state, recipe, attempts, reason, session, seconds, cpu, tabled = row
    return Call(name, source, state, recipe, attempts, reason, session, seconds, cpu, bool(tabled))

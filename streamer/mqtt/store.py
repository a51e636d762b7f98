"""Undelivered events on disk, in order and within bounds; in memory where the disk fails."""

import sqlite3
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from streamer.clock import WallClock
from streamer.mqtt import database as files
from streamer.mqtt.age import AgeClock
from streamer.mqtt.database import DAMAGE, StoredEvent

IN_MEMORY_LIMIT = 16_000_000
"""Bytes that may wait in memory when the disk fails."""

FULL, TOO_OLD = "the outbox is full", "older than mqtt.retention"
"""Reasons for giving events up."""

_ROW = 100
"""Approximate bytes of a row without its payload."""

_AGE_CHECK = 60.0
"""Seconds between searches for events that are too old."""


class Store:
    """Events on disk. Belongs to one thread.

    Commits survive the death of the process; a power cut may lose the last ones, which leaves a sound, shorter store.

    Args:
        file: the database; its directory is made if need be.
        limit: bytes that may wait.
        max_age: seconds that an event may wait.
        clock: the clock that events age by.
        problem: gets a line about a failure; the store goes on.
        given_up: gets the number of events, by type, that will not be delivered, and the reason.
        waiting: gets the change of the number of events, apart from added ones.
    """

    def __init__(
        self,
        file: Path,
        *,
        limit: float,
        max_age: float,
        clock: AgeClock,
        problem: Callable[[str], None],
        given_up: Callable[[Counter[str], str], None],
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
        """Lock and open the file; a former run's events are in it.

        Raises:
            UserError: if another process holds it.
        """
        lock_file = self.file.with_suffix(".lock")
        try:
            self.file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = files.lock(lock_file)
        except OSError as error:
            self._go_to_memory(error.strerror or str(error))
            return
        if self._lock is None:
            raise files.held_by_another(lock_file)
        try:
            self._use(files.open_file(self.file))
        except OSError as error:
            self._go_to_memory(error.strerror or str(error))
        except DAMAGE as error:
            if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
                self._go_to_memory(str(error))
            else:
                self._set_aside(error)

    def _use(self, database: sqlite3.Connection) -> None:
        try:
            self._clock.load(database)
            rows, size, last = database.execute(
                "SELECT count(*), coalesce(sum(length(payload)), 0), coalesce(max(id), 0) FROM outbox"
            ).fetchone()
        except BaseException:
            database.close()
            raise
        self._database = database
        self._waiting(rows - self._rows)
        self._rows = rows
        self._bytes = size + rows * _ROW
        self._next_id = max(self._next_id, last + 1)

    def fetch(self, after: int, limit: int) -> list[StoredEvent]:
        """Return the next events in order, at most `limit`; empty if there are none."""
        query = "SELECT session, type, payload, id FROM outbox WHERE id > ? ORDER BY id LIMIT ?"
        try:
            rows = self._database.execute(query, (after, limit)).fetchall()
        except DAMAGE as error:
            self._recover(error)
            rows = self._database.execute(query, (after, limit)).fetchall()
        return [StoredEvent(*row) for row in rows]

    def write(self, added: Sequence[StoredEvent], removed: Iterable[int]) -> None:
        """Store and remove events in one transaction."""
        removed = list(removed)
        while True:
            try:
                self._write(added, removed)
            except DAMAGE as error:
                self._recover(error)  # memory takes them in the end
            else:
                return

    def adopt(self, file: Path) -> int:
        """Take over the events of another node's outbox and delete it; give their number.

        Nothing happens if another process holds it, or if it cannot be read.
        """
        lock_file = file.with_suffix(".lock")
        try:
            lock = files.lock(lock_file)
            if lock is None:
                return 0
            with lock:
                other = files.open_file(file)
                try:
                    events = [StoredEvent(*row[2:]) for row in files.salvage(other)]
                finally:
                    other.close()
                self.write(events, ())
                if self.on_disk:
                    for path in (
                        *(Path(f"{file}{end}") for end in ("", "-wal", "-shm")),
                        lock_file,
                    ):
                        path.unlink(missing_ok=True)
        except (OSError, *DAMAGE) as error:
            self._problem(f"{file}: cannot be adopted: {error}")
            return 0
        self._waiting(len(events))
        return len(events)

    def close(self) -> None:
        """Close and unlock the file."""
        self._database.close()
        if self._lock is not None:
            self._lock.close()

    def _write(self, added: Sequence[StoredEvent], removed: Iterable[int]) -> None:
        now = self._clock.seconds()
        rows = (
            (id_, now, event.session, event.type, event.payload)
            for id_, event in enumerate(added, self._next_id)
        )
        before = self._rows, self._bytes
        try:
            with self._database:
                self._delete(removed)
                files.insert(self._database, rows)
                self._rows += len(added)
                self._bytes += sum(len(event.payload) + _ROW for event in added)
                full, old = self._shrink(), self._expire(now)
                self._clock.store(self._database)
        except BaseException:
            self._rows, self._bytes = before
            raise
        self._next_id += len(added)
        self._waiting(self._rows - before[0] - len(added))
        for lost, reason in ((full, FULL), (old, TOO_OLD)):
            if lost:
                self._given_up(lost, reason)

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
        room = 0.9 * self._limit  # so that not every event needs it
        for where in ("WHERE type = 'speech_update'", ""):
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

    def _recover(self, error: Exception) -> None:
        """Continue with another database than the failed one."""
        if not self.on_disk:
            raise error
        if isinstance(error, sqlite3.OperationalError) and not _is_damage(error):
            self._go_to_memory(str(error), self._database)
        else:
            self._set_aside(error, self._database)

    def _go_to_memory(self, reason: str, disk: sqlite3.Connection | None = None) -> None:
        """Keep events in memory from now on, with the readable ones of the disk."""
        self.on_disk = False
        self._limit = min(self._limit, IN_MEMORY_LIMIT)
        database = files.open_database(":memory:")
        self._move(disk, database)
        self._use(database)
        self._problem(f"{self.file}: {reason}; events wait in memory until they are delivered")

    def _set_aside(self, error: Exception, damaged: sqlite3.Connection | None = None) -> None:
        """Keep a damaged file under another name, and continue with its readable events in a new one."""
        stamp = WallClock().now().strftime("%Y%m%dT%H%M%S")
        aside = self.file.with_suffix(f".damaged-{stamp}{self.file.suffix}")
        try:
            if damaged is None:
                damaged = sqlite3.connect(self.file)
            rows = list(files.salvage(damaged))
            damaged.close()
            for ending in ("", "-wal", "-shm"):
                with suppress(FileNotFoundError):
                    Path(f"{self.file}{ending}").rename(f"{aside}{ending}")
            database = files.open_file(self.file)
            with database:
                files.insert(database, iter(rows))
            self._use(database)
        except (OSError, *DAMAGE) as second:
            self._go_to_memory(str(second))
        else:
            self._problem(
                f"{self.file}: damaged ({_first_line(error)}); set aside as {aside.name}, "
                f"{len(rows)} readable events kept"
            )

    @staticmethod
    def _move(disk: sqlite3.Connection | None, database: sqlite3.Connection) -> None:
        if disk is not None:
            with database:
                files.insert(database, files.salvage(disk))
            disk.close()


def _is_damage(error: sqlite3.OperationalError) -> bool:
    """Return whether an error, despite its class, is about the content: a text that is not UTF-8, a missing column."""
    return any(part in str(error) for part in ("decode", "no such", "malformed", "no column"))


def _first_line(error: Exception) -> str:
    return str(error).replace("*** in database main ***", "").strip().partition("\n")[0]

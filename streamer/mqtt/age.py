"""The clock that events in the outbox age by.

It counts while the machine is running, across processes, and neither leaps with the wall clock nor counts the
time between two starts of the machine, which only the wall clock could tell.
"""

import math
import sqlite3

from streamer.clock import BootClock


class AgeClock:
    """Seconds of age, continued from what a former process stored.

    Args:
        clock: seconds since the machine started, and which start that was.
    """

    def __init__(self, clock: BootClock | None = None) -> None:
        self._clock = clock or BootClock()
        self._offset = 0.0
        """Difference between the age and the machine's uptime."""

    def seconds(self) -> float:
        """Return the present age, never less than a former one."""
        return self._offset + self._clock.seconds()

    def load(self, database: sqlite3.Connection) -> None:
        """Continue from the age stored in a database."""
        row = database.execute("SELECT seconds, boot, uptime FROM age").fetchone()
        seconds, boot, uptime = row or (0.0, "", 0.0)
        if not (math.isfinite(seconds) and math.isfinite(uptime)):
            raise sqlite3.DatabaseError("unreadable age")
        now = self._clock.seconds()
        away = max(0.0, now - uptime) if boot and boot == self._clock.boot else 0.0
        self._offset = seconds + away - now

    def store(self, database: sqlite3.Connection) -> None:
        """Store the present age, in a transaction of the caller's."""
        row = (self.seconds(), self._clock.boot, self._clock.seconds())
        if not database.execute("UPDATE age SET seconds = ?, boot = ?, uptime = ?", row).rowcount:
            database.execute("INSERT INTO age VALUES (?, ?, ?)", row)

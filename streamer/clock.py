"""The clocks of the program; no other module asks the system for the time."""

import asyncio
import contextlib
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol


class Clock(Protocol):
    """The time as the stages see it."""

    def now(self) -> datetime:
        """Return the wall time, in UTC, that events carry."""
        ...

    def seconds(self) -> float:
        """Return seconds since an arbitrary moment, never going back; `sleep_until` waits in the same time."""
        ...

    async def sleep_until(self, seconds: float) -> None:
        """Return once `seconds()` has reached the given value."""
        ...

    def begin(self, started: datetime | None, duration: timedelta, speed: float = 1.0) -> None:
        """Let `now` count from when a recorded conversation began; it never passes the real time.

        Args:
            started: when the conversation began; None if unknown.
            duration: how long it lasted.
            speed: seconds of the conversation for each second of the clock.
        """
        ...


class WallClock:
    """The real time; a replay that keeps to a speed may shift its `now` to when the call took place."""

    def __init__(self) -> None:
        self._shifted: tuple[datetime, float, float] | None = None

    def now(self) -> datetime:
        """See `Clock.now`."""
        real = datetime.now(UTC)
        if self._shifted is None:
            return real
        started, begun, speed = self._shifted
        return min(real, started + timedelta(seconds=(time.monotonic() - begun) * speed))

    def seconds(self) -> float:
        """See `Clock.seconds`."""
        return time.monotonic()

    async def sleep_until(self, seconds: float) -> None:
        """See `Clock.sleep_until`."""
        await asyncio.sleep(max(0.0, seconds - time.monotonic()))

    def begin(self, started: datetime | None, duration: timedelta, speed: float = 1.0) -> None:
        """See `Clock.begin`; without a known start `now` stays the real time."""
        if started is not None:
            earliest = min(started, datetime.now(UTC) - duration)
            self._shifted = earliest, time.monotonic(), speed


class VirtualClock:
    """A clock that jumps to the end of every sleep instead of waiting.

    A replay at the speed of the machine runs on it, and so do the tests of anything that waits.
    """

    def __init__(self, start: datetime | None = None) -> None:
        self._start = start or datetime.now(UTC)
        self._seconds = 0.0

    def now(self) -> datetime:
        """See `Clock.now`."""
        return min(self._start + timedelta(seconds=self._seconds), datetime.now(UTC))

    def seconds(self) -> float:
        """See `Clock.seconds`."""
        return self._seconds

    async def sleep_until(self, seconds: float) -> None:
        """See `Clock.sleep_until`."""
        self._seconds = max(self._seconds, seconds)
        await asyncio.sleep(0)

    def begin(self, started: datetime | None, duration: timedelta, speed: float = 1.0) -> None:  # noqa: ARG002
        """See `Clock.begin`; a conversation of unknown time is taken to end now."""
        latest = datetime.now(UTC) - duration
        self._start = min(started, latest) if started else latest


class Stopwatch:
    """Measures real time, whatever clock the conversation runs on."""

    def __init__(self) -> None:
        self._begun = time.perf_counter()

    def milliseconds(self) -> float:
        """Return the milliseconds since the stopwatch was made."""
        return (time.perf_counter() - self._begun) * 1000.0


class BootClock:
    """Seconds since the machine started: comparable between processes, blind to leaps of the wall clock."""

    def __init__(self) -> None:
        try:
            self.boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
            """Identifies the start of the machine; empty if unknown: nothing can be compared then."""
        except (OSError, UnicodeDecodeError):
            self.boot = ""

    def seconds(self) -> float:
        """Return seconds since the machine started, suspended time included where the system counts it."""
        return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))


async def within(seconds: float, event: asyncio.Event) -> bool:
    """Wait for an event; return whether it came.

    `asyncio.wait_for` of Python 3.11 drops a cancellation that comes together with the event.
    """
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            return await event.wait()
    return False

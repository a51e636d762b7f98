"""A time budget for several waits."""

import asyncio


class Deadline:
    """A time budget that starts at first use and is shared by several waits.

    Args:
        seconds: its length by the event loop's clock, also where the conversation's time is virtual.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._end: float | None = None

    def left(self) -> float:
        """Return the seconds left of it."""
        now = asyncio.get_running_loop().time()
        if self._end is None:
            self._end = now + self._seconds
        return max(0.0, self._end - now)

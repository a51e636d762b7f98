"""How long to wait, all in all, for several things."""

import asyncio


class Patience:
    """A span of time that begins when it is first asked for, and is shared by whatever is waited for then.

    Args:
        seconds: how long it lasts, by the event loop's clock: also where the conversation's time is virtual.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._over: float | None = None

    def left(self) -> float:
        """Seconds of it that are left."""
        now = asyncio.get_running_loop().time()
        if self._over is None:
            self._over = now + self._seconds
        return max(0.0, self._over - now)

"""A sound device's samples against the clock: when each was captured, and how many are missing."""

_DRIFT = 5e-4
"""Seconds for each second by which a device's own clock may go slow. Real ones stay under 0.0002."""
_TOLERANCE = 0.05
"""Seconds that samples may be missing before that is called a loss, if the device says nothing."""
_TOLD_TOLERANCE = 0.01
"""The same if the device itself says that it lost some."""
_OLDEST = 0.1
"""Seconds that a device may say its samples are old. Sound servers make up more while a stream begins."""
_SETTLE = 0.5
"""Seconds after which samples that have not come are lost: until then they may only be late."""


class Beat:
    """Counts the samples of one device, from when it was opened.

    Devices say that samples were lost at most, not how many, and some do not even say that. The clock
    knows: samples arrive late when the machine is busy, never early, so the least lateness of a while
    is the truth, and where that jumps, the difference is missing.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._origin: float | None = None
        self._delay = _OLDEST
        self._told = False
        self._late_since: float | None = None
        self._least = 0.0

    def take(self, seconds: float, arrived: float, delay: float, *, broken: bool) -> float:
        """Count a block; give the seconds that turn out to have been lost before it.

        Args:
            seconds: its length.
            arrived: when it arrived, by the clock.
            delay: the age of its last sample then, by the device's own account.
            broken: whether the device says that something is missing before it.
        """
        self._seconds += seconds
        self._delay = min(self._delay, max(0.0, delay))
        raw = arrived - self._seconds
        if self._origin is None:
            self._origin = raw
        self._told = self._told or broken
        late = raw - self._origin
        if late <= (_TOLD_TOLERANCE if self._told else _TOLERANCE):
            self._origin = min(raw, self._origin + _DRIFT * seconds)
            self._late_since = None
            return 0.0
        if self._late_since is None:
            self._late_since, self._least = arrived, late
        self._least = min(self._least, late)
        if arrived - self._late_since < _SETTLE:
            return 0.0
        self._seconds += self._least
        self._told, self._late_since = False, None
        return self._least

    @property
    def origin(self) -> float:
        """When the first sample was captured, by the clock."""
        if self._origin is None:
            raise RuntimeError("nothing has been counted yet")
        return self._origin - self._delay

    @property
    def latest(self) -> float:
        """When the last sample counted was captured, by the clock."""
        return self.origin + self._seconds

"""Clock drift and loss detection: a sound device's samples compared with the clock."""

_DRIFT = 5e-4
"""Seconds per second by which a device's clock may run slow. Real devices stay under 0.0002."""
_TOLERANCE = 0.05
"""Seconds of samples that may be missing before a loss is declared, if the device reports nothing."""
_REPORTED_TOLERANCE = 0.01
"""The same if the device itself reports a loss."""
_MAX_DELAY = 0.1
"""Greatest age, in seconds, that a device may report for its samples. Sound servers report more at stream start."""
_SETTLE = 0.5
"""Seconds after which samples that have not arrived are lost; until then they may only be late."""


class LossDetector:
    """Counts the samples of one device since it was opened and detects losses.

    A device reports at most that samples were lost, never how many, and some report nothing. The clock
    tells: samples arrive late when the machine is busy, never early. The minimum lateness over a while is
    therefore the true offset, and a step of that minimum is missing audio.
    """

    def __init__(self) -> None:
        self._seconds = 0.0
        self._origin: float | None = None
        self._delay = _MAX_DELAY
        self._reported = False
        self._late_since: float | None = None
        self._min_lateness = 0.0

    def add(self, seconds: float, arrived: float, delay: float, *, broken: bool) -> float:
        """Count a block and return the seconds found to have been lost before it.

        Args:
            seconds: length of the block.
            arrived: clock time of its arrival, in seconds.
            delay: age of its last sample at arrival, as the device reports it, in seconds.
            broken: the device reports a loss before this block.
        """
        self._seconds += seconds
        self._delay = min(self._delay, max(0.0, delay))
        raw = arrived - self._seconds
        if self._origin is None:
            self._origin = raw
        self._reported = self._reported or broken
        late = raw - self._origin
        if late <= (_REPORTED_TOLERANCE if self._reported else _TOLERANCE):
            self._origin = min(raw, self._origin + _DRIFT * seconds)
            self._late_since = None
            return 0.0
        if self._late_since is None:
            self._late_since, self._min_lateness = arrived, late
        self._min_lateness = min(self._min_lateness, late)
        if arrived - self._late_since < _SETTLE:
            return 0.0
        self._seconds += self._min_lateness
        self._reported, self._late_since = False, None
        return self._min_lateness

    @property
    def origin(self) -> float:
        """Clock time at which the first sample was captured, in seconds."""
        if self._origin is None:
            raise RuntimeError("no block has been counted yet")
        return self._origin - self._delay

    @property
    def latest(self) -> float:
        """Clock time at which the last counted sample was captured, in seconds."""
        return self.origin + self._seconds

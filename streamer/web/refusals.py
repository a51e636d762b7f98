"""How long those wait who are refused: the longer the more they are, so that to come back at once costs little."""

import math
import time
from collections.abc import Callable

_COUNTED = 5.0
"""Seconds over which refusals are counted, the latest the most."""
_LONGEST = 10.0
"""Seconds."""


class Refusals:
    """Counts the refusals of a server, each kind for itself.

    Args:
        clock: seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._counts: dict[int, tuple[float, float]] = {}
        """Kind -> how many there were lately, and when the last one was."""

    def wait(self, kind: int, least: float) -> float:
        """Count one more; return the seconds after which it is to be said: as many as there are refusals in a second.

        Args:
            kind: its close code.
            least: seconds where refusals are rare.
        """
        now = self._clock()
        count, latest = self._counts.get(kind, (0.0, -math.inf))
        count = 1.0 + count * math.exp((latest - now) / _COUNTED)
        self._counts[kind] = count, now
        return max(least, min(_LONGEST, count / _COUNTED))

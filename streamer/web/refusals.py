"""How long those wait who are refused: the longer the more they are, so that to come back at once costs little."""

import math
import time
from collections.abc import Callable

_COUNTED = 5.0
"""Seconds over which refusals are counted, the latest the most."""
_EACH = 0.5
"""Seconds of waiting for each refusal in a second."""
_LONGEST = 10.0
"""Seconds."""


class Refusals:
    """Counts the refusals of a server.

    Args:
        clock: seconds of a monotonic clock.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._count = 0.0
        self._latest = -math.inf

    def wait(self, least: float) -> float:
        """Count one more; return the seconds after which it is to be said, `least` of them where refusals are rare."""
        now = self._clock()
        self._count = 1.0 + self._count * math.exp((self._latest - now) / _COUNTED)
        self._latest = now
        return max(least, min(_LONGEST, _EACH * self._count / _COUNTED))

"""Delays between attempts to connect."""

import random

FIRST = 0.25
"""Seconds before the second attempt, at most."""

LONGEST = 60.0
"""Seconds between two attempts, at most."""

USEFUL = 60.0
"""Seconds after which a connection counts as useful, whatever it has delivered."""


class Backoff:
    """Exponential back-off with jitter, up to a minute."""

    def __init__(self) -> None:
        self._attempts = 0

    def reset(self) -> None:
        """Begin with short delays again: the last connection was useful."""
        self._attempts = 0

    def next(self) -> float:
        """Return seconds to wait before the next attempt; longer each time."""
        self._attempts = min(self._attempts + 1, 20)
        return min(LONGEST, FIRST * 2.0**self._attempts) * random.uniform(0.5, 1)

    @staticmethod
    def after_refusal() -> float:
        """Return seconds to wait after a refusal, which only a person can resolve."""
        return LONGEST * random.uniform(0.5, 1)

"""Dual mono: a stereo recording that carries one signal twice."""

import numpy as np

from streamer.audio import Samples

_AUDIBLE = 1e-3
"""RMS below which a block is silent."""
_SAME = 0.95
"""Least correlation of two copies, even when a lossy codec has coded them apart."""
_MAX_RATIO = 10.0
"""Greatest difference of level of two copies in dB. A much weaker copy is cross-talk of a channel that is silent."""
_MAX_SPREAD = 1.5
"""Greatest change of that difference in dB. Two speakers who hear each other swap it with every turn."""


class DuplicateDetector:
    """Finds out whether two channels carry the same signal all along, at one constant ratio of levels.

    The copies may differ in level and sign. Silent channels are no duplicates.
    """

    def __init__(self) -> None:
        self._energy = np.zeros(2)
        self._ratios = (np.inf, -np.inf)
        self._sign = 0.0

    @property
    def louder(self) -> int | None:
        """The louder of the two channels; None if nothing was audible."""
        return int(self._energy.argmax()) if self._energy.any() else None

    def add(self, block: Samples) -> bool:
        """Register float32 [n, 2] and return whether the channels can still be copies."""
        samples = block.astype(np.float64)
        samples -= samples.mean(axis=0) if len(samples) else 0.0
        powers = (samples**2).sum(axis=0)
        if powers.max(initial=0.0) <= _AUDIBLE**2 * len(samples):
            return True
        product = float(samples[:, 0] @ samples[:, 1])
        if not powers.all() or abs(product) < _SAME * float(np.sqrt(powers[0] * powers[1])):
            return False
        ratio = 10.0 * float(np.log10(powers[0] / powers[1]))
        self._ratios = min(self._ratios[0], ratio), max(self._ratios[1], ratio)
        self._sign = self._sign or np.sign(product)
        self._energy += powers
        return (
            abs(ratio) <= _MAX_RATIO
            and self._ratios[1] - self._ratios[0] <= _MAX_SPREAD
            and np.sign(product) == self._sign
        )

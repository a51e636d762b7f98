"""When a block of live audio is worth waking up for: at once while anything can be heard, now and then in silence."""

import numpy as np

from streamer.sources import Samples

_ABOVE = 4.0
"""Energy over that of the quietest moments (6 dB) from which something is heard."""
_FAINT = 1e-8
"""Energy (-80 dBFS) under which nothing is heard, however quiet the quietest moments: the last bits flutter."""
_FORGET = 1.007
"""Factor by which the quietest moments fade with each block: twofold in 3 s."""
_AWAKE = 67
"""Blocks (2 s) for which attention lasts: longer than the silence that ends an utterance."""
_ASLEEP = 4
"""Blocks (120 ms) that wait for each other in silence."""


class Attention:
    """Decides, block by block, whether those who wait for audio are woken.

    Each waking up costs more than all the work that silence is. A sound wakes at once, so nothing that
    is said is heard any later.
    """

    def __init__(self) -> None:
        self._floor = float("inf")
        self._awake = _AWAKE
        self._waiting = 0

    def wakes(self, samples: Samples) -> bool:
        """Take note of a block, float32 [n, channels]."""
        energy = float(np.vdot(samples, samples)) / max(1, samples.size)
        loud = energy > max(_FAINT, _ABOVE * self._floor)
        self._floor = min(energy, self._floor * _FORGET + 1e-12)
        self._awake = _AWAKE if loud else max(0, self._awake - 1)
        self._waiting += 1
        if not self._awake and self._waiting < _ASLEEP:
            return False
        self._waiting = 0
        return True

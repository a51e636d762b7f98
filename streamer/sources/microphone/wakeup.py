"""Wake-up gate: wake the event loop at once for sound, seldom for silence."""

import numpy as np

from streamer.audio import Samples

_SNR = 4.0
"""Energy relative to the noise floor (6 dB) from which a block counts as sound."""
_INAUDIBLE = 1e-8
"""Energy (-80 dBFS) below which a block is silent whatever the noise floor: the last bits flutter."""
_FLOOR_RISE = 1.007
"""Factor by which the noise floor rises with each block: twofold in 3 s."""
_HOLD = 67
"""Blocks (2 s) after a sound for which every block wakes: longer than the silence that ends an utterance."""
_SILENT_BATCH = 4
"""Silent blocks (120 ms) delivered with one wake-up."""


class WakeupGate:
    """Decides for each block whether the event loop is woken.

    Waking the event loop costs more than processing a silent block. Sound wakes at once, so the gate
    delays no event.
    """

    def __init__(self) -> None:
        self._floor = float("inf")
        self._hold = _HOLD
        self._waiting = 0

    def wakes(self, samples: Samples) -> bool:
        """Register a block, float32 [n, channels], and return whether to wake the loop."""
        energy = float(np.vdot(samples, samples)) / max(1, samples.size)
        loud = energy > max(_INAUDIBLE, _SNR * self._floor)
        self._floor = min(energy, self._floor * _FLOOR_RISE + 1e-12)
        self._hold = _HOLD if loud else max(0, self._hold - 1)
        self._waiting += 1
        if not self._hold and self._waiting < _SILENT_BATCH:
            return False
        self._waiting = 0
        return True

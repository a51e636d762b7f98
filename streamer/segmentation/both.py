"""WebRTC as the cheap gate, Silero to confirm."""

import numpy as np

from streamer.config import Segmentation
from streamer.segmentation.silero import SileroDetector
from streamer.segmentation.webrtc import WebrtcGate
from streamer.sources import Samples
from streamer.units import FRAME

_OPEN = 10
"""Frames for which the gate stays open after WebRTC last said yes."""
_LEAD = 10
"""Frames before the gate opened that Silero hears first, so that it knows the voice's surroundings."""


class GatedDetector:
    """Silero's probability while the gate is open, 0 while it is shut."""

    def __init__(self, settings: Segmentation) -> None:
        self._gate = WebrtcGate(settings.aggressiveness)
        self._silero = SileroDetector(settings)
        self._open = 0
        self._skipped: Samples = np.empty(0, dtype=np.float32)

    def __call__(self, frame: Samples) -> float:
        """See `VoiceDetector.__call__`."""
        if self._gate(frame):
            self._open = _OPEN
        else:
            self._open -= 1
        if self._open <= 0:
            self._skipped = np.concatenate((self._skipped, frame))[-_LEAD * FRAME :]
            return 0.0
        if len(self._skipped):
            self._silero.reset()
            self._silero(self._skipped)
            self._skipped = self._skipped[:0]
        return self._silero(frame)

    def reset(self) -> None:
        """See `VoiceDetector.reset`."""
        self._gate.reset()
        self._silero.reset()
        self._open = 0
        self._skipped = self._skipped[:0]

"""The voice detector of WebRTC: six bands and two Gaussians each; fast, and fooled by most noise."""

from collections import deque

import numpy as np
import webrtcvad

from streamer.sources import Samples
from streamer.units import SAMPLE_RATE

_WINDOW = 5
"""Frames (150 ms) over which yes and no are averaged."""


class WebrtcGate:
    """Yes or no for each frame, as WebRTC says it."""

    def __init__(self, aggressiveness: int) -> None:
        self._aggressiveness = aggressiveness
        self.reset()

    def __call__(self, frame: Samples) -> bool:
        """Whether the frame (float32 [480]) may hold speech."""
        pcm = (np.minimum(np.maximum(frame, -1.0), 1.0) * 32767.0).astype(np.int16)
        return bool(self._vad.is_speech(pcm.tobytes(), SAMPLE_RATE))

    def reset(self) -> None:
        """Forget the levels of noise and speech learnt so far."""
        self._vad = webrtcvad.Vad(self._aggressiveness)


class WebrtcDetector:
    """WebRTC's decisions as a probability: the share of the last frames that it called speech."""

    def __init__(self, aggressiveness: int) -> None:
        self._gate = WebrtcGate(aggressiveness)
        self._recent: deque[bool] = deque(maxlen=_WINDOW)

    def __call__(self, frame: Samples) -> float:
        """See `VoiceDetector.__call__`."""
        self._recent.append(self._gate(frame))
        return sum(self._recent) / _WINDOW

    def reset(self) -> None:
        """See `VoiceDetector.reset`."""
        self._gate.reset()
        self._recent.clear()

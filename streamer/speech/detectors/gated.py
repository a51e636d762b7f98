"""Gated voice detection: WebRTC as the cheap gate, Silero to confirm."""

from collections import deque
from itertools import groupby

import numpy as np

from streamer.audio import Samples
from streamer.speech.detectors.silero import SileroDetector
from streamer.speech.detectors.webrtc import AGGRESSIVENESS, WebrtcGate

_OPEN = 10
"""Frames (300 ms) for which the gate stays open after WebRTC last found speech."""
_LEAD = 20
"""Frames (600 ms) before the gate opened that Silero is given first, so that it starts in the room's sound."""


class GatedDetector:
    """Silero's probability; 0 without running it while WebRTC finds no speech."""

    delay = 0

    def __init__(self, aggressiveness: int = AGGRESSIVENESS) -> None:
        self._gate = WebrtcGate(aggressiveness)
        self._silero = SileroDetector()
        self._open = 0
        self._skipped: deque[Samples] = deque(maxlen=_LEAD)

    def __call__(self, frames: Samples) -> list[float]:
        """See `VoiceDetector.__call__`."""
        opened = [self._opens(voiced) for voiced in self._gate(frames)]
        probabilities: list[float] = []
        for is_open, run in groupby(opened):
            some = frames[len(probabilities) :][: len(list(run))]
            probabilities += self._score(some) if is_open else self._skip(some)
        return probabilities

    def _opens(self, voiced: bool) -> bool:
        self._open = _OPEN if voiced else max(0, self._open - 1)
        return self._open > 0

    def _skip(self, frames: Samples) -> list[float]:
        self._skipped.extend(frames.copy())
        return [0.0] * len(frames)

    def _score(self, frames: Samples) -> list[float]:
        if len(self._skipped) == _LEAD:  # more was skipped than is still known
            self._silero.reset()
        before = len(self._skipped)
        if before:
            frames = np.concatenate([self._skipped, frames])
            self._skipped.clear()
        return self._silero(frames)[before:]

    def reset(self) -> None:
        """See `VoiceDetector.reset`."""
        self._gate.reset()
        self._silero.reset()
        self._open = 0
        self._skipped.clear()

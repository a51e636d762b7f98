"""WebRTC as the cheap gate, Silero to confirm."""

import math
from collections import deque
from itertools import groupby

import numpy as np

from streamer.segmentation.silero import SileroDetector
from streamer.segmentation.webrtc import WebrtcGate
from streamer.sources import Samples

_OPEN = 10
"""Frames (300 ms) for which the gate stays open after WebRTC last said yes."""
_LEAD = 20
"""Frames (600 ms) before the gate opened that Silero hears first, so that it starts in the room's sound."""
_MEMORY = 333
"""Frames (10 s) in which what was said fades by a factor e."""
_KEPT = math.exp(-1 / _MEMORY)
_CONVERSATION = 30.0
"""Frames (0.9 s) of speech, remembered so, from which a conversation goes on and more of it is to be expected."""
_ODDS = 6.0
"""How much likelier speech then is than Silero, which expects nothing, assumes. Up to there it grows evenly.

On annotated calls and meetings anything from 4 to 10 scores about the same; more takes noise for speech.
"""


class GatedDetector:
    """0 while WebRTC hears nothing; else Silero's probability, its odds raised while a conversation goes on.

    Silero alone is reluctant: at even odds it misses one frame of speech in seven, the weak ones between
    strong ones. Raising its odds at all times would find those, and speech in steady noise. Raising them
    bit by bit, and not at one certain frame, keeps chance in a single frame from deciding what follows.
    """

    delay = 0

    def __init__(self, aggressiveness: int) -> None:
        self._gate = WebrtcGate(aggressiveness)
        self._silero = SileroDetector()
        self._open = 0
        self._said = 0.0
        """Frames of speech of late, by their probabilities."""
        self._skipped: deque[Samples] = deque(maxlen=_LEAD)

    def __call__(self, frames: Samples) -> list[float]:
        """See `VoiceDetector.__call__`."""
        opened = [self._opens(voiced) for voiced in self._gate(frames)]
        probabilities: list[float] = []
        for is_open, run in groupby(opened):
            some = frames[len(probabilities) :][: len(list(run))]
            probabilities += self._judge(some) if is_open else self._skip(some)
        return probabilities

    def _opens(self, voiced: bool) -> bool:
        self._open = _OPEN if voiced else max(0, self._open - 1)
        return self._open > 0

    def _skip(self, frames: Samples) -> list[float]:
        self._skipped.extend(frames.copy())
        for _ in frames:
            self._said *= _KEPT
        return [0.0] * len(frames)

    def _judge(self, frames: Samples) -> list[float]:
        if len(self._skipped) == _LEAD:  # more was skipped than is still known
            self._silero.reset()
        before = len(self._skipped)
        if before:
            frames = np.concatenate([self._skipped, frames])
            self._skipped.clear()
        probabilities = self._silero(frames)[before:]
        return [self._expect(probability) for probability in probabilities]

    def _expect(self, probability: float) -> float:
        self._said = self._said * _KEPT + probability
        odds = 1.0 + (_ODDS - 1.0) * min(1.0, self._said / _CONVERSATION)
        return odds * probability / (1.0 + (odds - 1.0) * probability)

    def reset(self) -> None:
        """See `VoiceDetector.reset`."""
        self._gate.reset()
        self._silero.reset()
        self._open = 0
        self._said = 0.0
        self._skipped.clear()

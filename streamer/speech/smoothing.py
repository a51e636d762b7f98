"""Smoothing of a detector's probabilities over neighbouring frames."""

from collections import deque

from streamer.audio import Samples
from streamer.speech import VoiceDetector

_NEIGHBOURS = 2
"""Frames (60 ms) on each side."""
_WINDOW = 2 * _NEIGHBOURS + 1


class Smoothed:
    """The mean of another detector's probabilities of a frame and its neighbours on both sides.

    A single frame then decides nothing by itself. The look-ahead of 60 ms costs no latency at the endpoint, which
    needs a longer silence anyway.

    Args:
        detector: scores single frames.
    """

    delay = _NEIGHBOURS

    def __init__(self, detector: VoiceDetector) -> None:
        self._detector = detector
        self._recent: deque[float] = deque(maxlen=_WINDOW)

    def __call__(self, frames: Samples) -> list[float]:
        """See `VoiceDetector.__call__`."""
        return [self._mean(probability) for probability in self._detector(frames)]

    def reset(self) -> None:
        """See `VoiceDetector.reset`."""
        self._detector.reset()
        self._recent.clear()

    def _mean(self, probability: float) -> float:
        self._recent.append(probability)
        return sum(self._recent) / _WINDOW if len(self._recent) > self.delay else 0.0

"""Mood: a speaker's emotion over the utterances of a conversation."""

from collections.abc import Mapping

from streamer.events import Trend
from streamer.valence import VALENCE

_TREND_STEP = 0.08
"""Change of the smoothed valence, from one utterance to the next, that counts as a trend."""


class MoodTracker:
    """Smooths one speaker's probabilities: an utterance a half-life ago counts half.

    Args:
        half_life: seconds of audio time.
    """

    def __init__(self, half_life: float) -> None:
        self._half_life = half_life
        self._sums: dict[str, float] = {}
        self._weight = 0.0
        self._at = 0.0

    def update(
        self, at: float, probabilities: Mapping[str, float]
    ) -> tuple[dict[str, float], Trend]:
        """Take an utterance that ended at `at` (seconds); return the mood and its trend."""
        before = self._valence() if self._weight else None
        decay = 0.5 ** (max(0.0, at - self._at) / self._half_life)
        self._at = max(self._at, at)
        self._weight = self._weight * decay + 1.0
        for label, probability in probabilities.items():
            self._sums[label] = self._sums.get(label, 0.0) * decay + probability
        mood = {label: total / self._weight for label, total in self._sums.items()}
        change = 0.0 if before is None else self._valence() - before
        if change > _TREND_STEP:
            return mood, "improving"
        return mood, "worsening" if change < -_TREND_STEP else "steady"

    def _valence(self) -> float:
        return sum(VALENCE.get(k, 0.0) * v for k, v in self._sums.items()) / self._weight

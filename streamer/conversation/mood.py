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
        self.sums: dict[str, float] = {}
        """Weighted probabilities, by label."""
        self.weight = 0.0
        """Of all utterances together."""
        self.at = 0.0
        """When the weights hold, in seconds."""

    def update(
        self, at: float, probabilities: Mapping[str, float]
    ) -> tuple[dict[str, float], Trend]:
        """Take an utterance that ended at `at` (seconds); return the mood and its trend."""
        before = self._valence() if self.weight else None
        decay = 0.5 ** (max(0.0, at - self.at) / self._half_life)
        self.at = max(self.at, at)
        self.weight = self.weight * decay + 1.0
        for label, probability in probabilities.items():
            self.sums[label] = self.sums.get(label, 0.0) * decay + probability
        mood = {label: total / self.weight for label, total in self.sums.items()}
        change = 0.0 if before is None else self._valence() - before
        if change > _TREND_STEP:
            return mood, "improving"
        return mood, "worsening" if change < -_TREND_STEP else "steady"

    def include(self, other: "MoodTracker") -> None:
        """Take all that another speaker said, who turned out to be this one."""
        at = max(self.at, other.at)
        decay, theirs = (0.5 ** ((at - each.at) / self._half_life) for each in (self, other))
        self.at = at
        self.weight = self.weight * decay + other.weight * theirs
        self.sums = {
            label: self.sums.get(label, 0.0) * decay + other.sums.get(label, 0.0) * theirs
            for label in {**self.sums, **other.sums}
        }

    def _valence(self) -> float:
        return sum(VALENCE.get(k, 0.0) * v for k, v in self.sums.items()) / self.weight

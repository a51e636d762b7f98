"""Valence of emotions: the prior that turns label probabilities into valence."""

from collections.abc import Mapping

VALENCE = {
    "happy": 1.0,
    "excited": 1.0,
    "amused": 1.0,
    "calm": 0.5,
    "surprised": 0.0,
    "neutral": 0.0,
    "bored": -0.5,
    "sad": -1.0,
    "angry": -1.0,
    "frustrated": -1.0,
    "fear": -1.0,
    "fearful": -1.0,
    "disgust": -1.0,
    "contempt": -1.0,
}
"""Valence of each label, -1 to 1; a label that is not here counts as neutral."""


def expected_valence(probabilities: Mapping[str, float]) -> float:
    """Return the mean of the labels' valences, weighted by their probabilities."""
    total = sum(probabilities.values())
    if total <= 0:
        return 0.0
    return sum(VALENCE.get(label, 0.0) * p for label, p in probabilities.items()) / total

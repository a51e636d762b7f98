"""A card's figures of a speaker are calibrated on other speakers."""

import numpy as np
import pytest

from tools.evaluate.metrics import Judgements
from tools.training.recipes.assembly import calibrated_apart

LABELS = ("angry", "happy", "sad")


def sure(right, speakers, confidence=0.98):
    """Judgements of one confidence, of which those of a speaker are right as often as given."""
    truth, clusters = [], []
    for speaker, share in zip(speakers, right, strict=True):
        truth += [0] * round(100 * share) + [1] * round(100 * (1 - share))
        clusters += [speaker] * 100
    rest = (1 - confidence) / 2
    probabilities = np.tile((confidence, rest, rest), (len(truth), 1))
    return Judgements(LABELS, np.array(truth), probabilities, tuple(clusters))


def test_overconfidence_is_taken_back_by_what_others_showed():
    judgements = sure([0.7] * 10, [f"s{n}" for n in range(10)])
    calibrated = calibrated_apart(judgements, judgements)
    assert calibrated.probabilities.max(axis=1) == pytest.approx(0.7, abs=0.01)
    assert (calibrated.predicted == judgements.predicted).all()


def test_a_speaker_does_not_calibrate_itself():
    speakers = [f"s{n}" for n in range(5)]  # each its own fold
    one_is_always_wrong = sure([0.01, 0.8, 0.8, 0.8, 0.8], speakers)
    confidence = calibrated_apart(one_is_always_wrong, one_is_always_wrong).probabilities.max(1)
    assert confidence[:100] == pytest.approx(0.8, abs=0.01)
    assert confidence[100:] == pytest.approx((3 * 0.8 + 0.01) / 4, abs=0.01)

"""Thresholds that keep calm talk quiet, and how doubt is measured."""

import numpy as np
import pytest
import torch

from tools.data.manifest import Clip
from tools.evaluate.metrics import Judgements
from tools.training.recipes.label_figures import (
    Heard,
    choose_thresholds,
    confident,
    risk_coverage,
)

HOUR = 3600 * 16_000


def heard(hours=1.0, readers=0):
    """Two calls of ten utterances, and readers of an hour in all."""
    clips = [Clip(f"{name}#{n}", name) for name in ("first", "second") for n in range(10)]
    calm = [(Clip("r", "r", corpus="librispeech_mini"), HOUR // max(1, readers))] * readers
    none = torch.zeros(0, 4)
    return Heard(
        clips=[],
        allowed=[],
        scores={},
        unknown=[],
        unknown_scores=torch.zeros(0, 4),
        votes=[],
        people={},
        strange={},
        calm=calm,
        calm_scores=none,
        calls=clips,
        calls_hours={"first": hours, "second": hours},
        calls_scores=none,
    )


def rows(label, confidences):
    """Probabilities [n, 4] of one label, the rest spread over the others."""
    rest = [(1 - p) / 3 for p in confidences]
    return np.array(
        [[p if i == label else r for i in range(4)] for p, r in zip(confidences, rest, strict=True)]
    )


def test_a_threshold_is_the_least_that_is_quiet_enough():
    calls = rows(0, [0.72] * 10 + [0.4] * 10)
    chosen = choose_thresholds(heard(0.5), np.zeros((0, 4)), calls, ["first", "second"])
    assert chosen["angry"] == pytest.approx(0.75)
    assert chosen["happy"] == chosen["sad"] == 0.6


def test_other_recordings_do_not_choose():
    calls = rows(0, [0.4] * 10 + [0.92] * 10)
    assert choose_thresholds(heard(), np.zeros((0, 4)), calls, ["first"])["angry"] == 0.6


def test_readers_count_as_well():
    calm = rows(2, [0.83] * 6)
    chosen = choose_thresholds(heard(readers=6), calm, rows(3, [0.9] * 20), ["first"])
    assert chosen["sad"] == pytest.approx(0.85)


def test_neutral_is_never_an_alarm():
    assert not confident(rows(3, [0.99]), {"angry": 0.5, "happy": 0.5, "sad": 0.5}).any()


def test_errors_among_the_surest_cost_most():
    def judged(confidences):
        truth = ["a", "a", "a", "b"]
        return Judgements.of(("a", "b"), truth, [[p, 1 - p] for p in confidences], list("wxyz"))

    late, early = judged([0.9, 0.8, 0.7, 0.6]), judged([0.6, 0.7, 0.8, 0.9])
    assert risk_coverage(late) == pytest.approx(1 / 16)
    assert risk_coverage(early) > 0.4

"""The measures agree with scikit-learn, and the intervals with what a bootstrap means."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from sklearn.metrics import accuracy_score, f1_score, recall_score

from tools.evaluate.metrics import (
    Judgements,
    Sums,
    ece_by_chance,
    grouped_report,
    measures,
    report,
)

LABELS = ("angry", "happy", "sad", "neutral")


def random_judgements(n=200, clusters=10, seed=0, skill=1.0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(4, size=n)
    logits = rng.normal(size=(n, 4))
    logits[np.arange(n), truth] += skill
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return Judgements(LABELS, truth, probabilities, tuple(f"s{i % clusters}" for i in range(n)))


@given(
    truth=arrays.arrays(np.int64, 30, elements=st.integers(0, 3)),
    said=arrays.arrays(np.int64, 30, elements=st.integers(0, 3)),
)
@settings(max_examples=50, deadline=None)
def test_rates_are_those_of_scikit_learn(truth, said):
    probabilities = np.full((30, 4), 0.1)
    probabilities[np.arange(30), said] = 0.7
    got = report(Judgements(LABELS, truth, probabilities, ("one",) * 30))
    present = sorted(set(truth))
    assert got["accuracy"]["value"] == pytest.approx(accuracy_score(truth, said), abs=1e-4)
    assert got["weighted_f1"]["value"] == pytest.approx(
        f1_score(truth, said, average="weighted"), abs=1e-4
    )
    assert got["macro_f1"]["value"] == pytest.approx(
        f1_score(truth, said, average="macro"), abs=1e-4
    )
    ua = recall_score(truth, said, labels=present, average="macro")
    assert got["ua"]["value"] == pytest.approx(ua, abs=1e-4)
    for index, label in enumerate(LABELS):
        if index in present:
            recall = recall_score(truth, said, labels=[index], average="macro")
            assert got["recall"][label] == pytest.approx(recall, abs=1e-4)
        else:
            assert got["recall"][label] is None


def test_calibration_error_by_hand():
    # sure of four and right in two; unsure (.5) of two and right in one
    probabilities = [[1.0, 0.0]] * 4 + [[0.5, 0.5]] * 2
    truth = ["a", "a", "b", "b", "a", "b"]
    got = report(Judgements.of(("a", "b"), truth, probabilities, ["s"] * 6))
    assert got["ece"]["value"] == pytest.approx(4 / 6 * 0.5, abs=1e-4)


def test_a_calibrated_judge_has_a_small_calibration_error():
    rng = np.random.default_rng(1)
    probabilities = rng.dirichlet((1, 1, 1, 1), size=20_000)
    truth = (probabilities.cumsum(axis=1) < rng.random((20_000, 1))).sum(axis=1)
    sums = Sums.by_cluster(Judgements(LABELS, truth, probabilities, ("s",) * 20_000))
    assert measures(sums)["ece"][0] < 0.02


def test_few_utterances_measure_a_calibration_error_by_chance():
    rng = np.random.default_rng(0)

    def calibrated(n):
        probabilities = rng.dirichlet((1, 1, 1), n)
        truth = np.array([rng.choice(3, p=row) for row in probabilities])
        return Judgements(("a", "b", "c"), truth, probabilities, ("x",) * n)

    few, many = calibrated(200), calibrated(20_000)
    assert ece_by_chance(many) < 0.015 < ece_by_chance(few)
    measured = [report(calibrated(200))["ece"]["value"] for _ in range(30)]
    assert ece_by_chance(few) == pytest.approx(np.mean(measured), rel=0.15)


def test_intervals_hold_the_value_and_narrow_with_more_speakers():
    few = report(random_judgements(400, clusters=4))["accuracy"]
    many = report(random_judgements(40_000, clusters=400))["accuracy"]
    assert few["low"] <= few["value"] <= few["high"]
    assert many["high"] - many["low"] < few["high"] - few["low"]


def test_intervals_resample_clusters_not_utterances():
    # half of the speakers are always judged right, half always wrong
    speakers = np.repeat(np.arange(10), 100)
    truth = np.zeros(1000, np.int64)
    probabilities = np.zeros((1000, 4))
    probabilities[np.arange(1000), speakers % 2] = 1.0
    by_speaker = report(Judgements(LABELS, truth, probabilities, tuple(map(str, speakers))))[
        "accuracy"
    ]
    by_utterance = report(Judgements(LABELS, truth, probabilities, tuple(map(str, range(1000)))))[
        "accuracy"
    ]
    assert by_utterance["high"] - by_utterance["low"] < 0.1
    assert by_speaker["high"] - by_speaker["low"] > 0.4


def test_one_cluster_has_no_interval_and_nothing_has_no_value():
    alone = report(random_judgements(clusters=1))
    assert alone["ua"]["value"] is not None
    assert alone["ua"]["low"] is None
    empty = report(random_judgements().select(np.zeros(200, bool)))
    assert empty["n"] == 0
    assert empty["ua"] == {"value": None, "low": None, "high": None}


def test_the_same_seed_gives_the_same_intervals():
    assert report(random_judgements(), seed=3) == report(random_judgements(), seed=3)


def test_groups_partition_the_utterances_and_survive_json():
    judgements = random_judgements()
    corpora = ["x" if i < 50 else "y" if i < 150 else "" for i in range(200)]
    got = json.loads(json.dumps(grouped_report(judgements, {"corpus": corpora}), allow_nan=False))
    assert {name: part["n"] for name, part in got["groups"]["corpus"].items()} == {
        "x": 50,
        "y": 100,
    }
    assert set(got["groups"]["corpus"]["x"]) == {
        "n", "accuracy", "ua", "weighted_f1", "macro_f1", "ece", "recall",
    }  # fmt: skip


def test_shapes_must_agree():
    with pytest.raises(ValueError, match="probabilities"):
        Judgements(LABELS, np.zeros(3, np.int64), np.zeros((2, 4)), ("s",) * 3)
    with pytest.raises(ValueError, match="clusters"):
        Judgements(LABELS, np.zeros(2, np.int64), np.zeros((2, 4)), ("s",))

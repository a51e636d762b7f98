"""What evaluations say about abstaining, and whose figures they are."""

import json

import numpy as np
import pytest

from streamer.errors import UserError
from tools.evaluate.metrics import Judgements
from tools.evaluate.output import abstention, bundle_directory, bundle_identity, write_json


def sure_when_right():
    """Eight utterances: six right ones of high confidence, two wrong ones of low."""
    confidence = np.array([0.9, 0.8, 0.95, 0.7, 0.85, 0.75, 0.55, 0.6])
    probabilities = np.stack([confidence, 1 - confidence], axis=1)
    truth = ["yes"] * 6 + ["no"] * 2
    return Judgements.of(("yes", "no"), truth, probabilities, list("aabbccdd"))


def test_abstaining_leaves_the_least_confident_out():
    found = abstention(sure_when_right(), threshold=0.58)
    assert found["accuracy_without_least_confident"] == 1.0
    assert found["rejected"] == pytest.approx(1 / 8)
    assert found["accuracy"] == pytest.approx(6 / 7, abs=1e-4)


def test_a_label_may_need_more_confidence_than_others():
    found = abstention(sure_when_right(), 0.0, {"yes": 0.72})
    assert found["rejected"] == pytest.approx(3 / 8)


def test_alarms_are_counted_among_neutral_utterances_and_hits_among_the_others():
    truth = ["angry", "angry", "neutral", "neutral"]
    angry, neutral = [0.8, 0.2], [0.3, 0.7]
    judged = Judgements.of(("angry", "neutral"), truth, [angry, neutral, angry, neutral], "abab")
    found = abstention(judged, 0.75)
    assert found["confident_and_right"] == {"n": 2, "value": 0.5, "low": 0.0, "high": 1.0}
    assert found["confident_and_wrong"]["value"] == 0.0
    assert found["neutral_and_alarmed"]["value"] == 0.5
    assert "confident_and_right" not in abstention(sure_when_right(), 0.5)


def test_the_gain_of_abstaining_has_an_interval_over_clusters():
    gain = abstention(sure_when_right(), threshold=0.58)["gain_without_least_confident"]
    assert gain["value"] == pytest.approx(0.25)
    assert gain["low"] <= gain["value"] <= gain["high"]


def test_a_bundle_is_known_by_its_content(random_bundle):
    first = bundle_identity(bundle_directory(str(random_bundle)))
    assert first["name"] == "random"
    assert len(first["sha256"]) == 64


def test_a_missing_bundle_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no bundle"):
        bundle_directory(str(tmp_path / "nowhere"))


def test_figures_are_written_where_asked_for(tmp_path):
    write_json(None, {"n": 1})
    write_json(tmp_path / "deep" / "figures.json", {"n": 1})
    assert json.loads((tmp_path / "deep" / "figures.json").read_text()) == {"n": 1}
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        write_json(tmp_path / "file" / "figures.json", {"n": 1})

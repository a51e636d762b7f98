"""False alarms an hour and label stability, counted in the events of calm recordings."""

import argparse
import json

import pytest

from streamer.errors import UserError
from tools.evaluate import alarms

SURE = {"angry": 0.8, "neutral": 0.2}


def utterance(label, *, abstained=False, name="u"):
    return {"type": "utterance", "utterance": name, "emotion": label, "abstained": abstained}


def update(end, probabilities, name="u"):
    return {
        "type": "speech_update",
        "utterance": name,
        "start": 0.0,
        "end": end,
        "probabilities": probabilities,
    }


def ended(seconds):
    return {"type": "session_ended", "duration": seconds}


def written(path, *events):
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    return path


def test_counts_confident_labels_other_than_neutral_per_hour(tmp_path):
    events = written(
        tmp_path / "call.jsonl",
        utterance("angry"),
        utterance("sad", abstained=True),
        utterance("neutral"),
        utterance(None),
        ended(1800.0),
    )
    result = alarms.measure([alarms.read(events)])
    assert result["per_hour"]["confident"]["value"] == 2.0
    assert result["per_hour"]["angry"]["value"] == 2.0
    assert "sad" not in result["per_hour"]
    assert result["utterances"] == 4


def test_compares_the_first_estimate_at_each_age_with_the_final_label(tmp_path):
    events = written(
        tmp_path / "call.jsonl",
        update(0.5, {"angry": 0.1, "neutral": 0.9}),
        update(1.0, SURE),
        update(1.5, {"angry": 0.1, "neutral": 0.9}),
        update(2.0, {"angry": 0.3, "neutral": 0.7}),
        utterance("angry"),
        ended(3.0),
    )
    stable = alarms.measure([alarms.read(events)])["stable"]
    assert stable == {"1": {"n": 1, "share": 1.0}, "2": {"n": 1, "share": 0.0}}


def test_gives_an_interval_over_recordings():
    calm = alarms.Recording(hours=1.0)
    loud = alarms.Recording(hours=1.0, labels=alarms.Counter(angry=4), alerts=2)
    rates = alarms.measure([calm, loud])["per_hour"]
    assert alarms.measure([calm])["per_hour"]["alerts"] == {"value": 0.0, "low": 0.0, "high": 3.0}
    assert rates["confident"] == {"value": 2.0, "low": 0.0, "high": 4.0}
    assert rates["alerts"]["value"] == 1.0


def test_writes_what_it_measured(tmp_path):
    events = written(tmp_path / "call.jsonl", utterance("happy"), ended(36.0))
    place = tmp_path / "alarms.json"
    alarms.run(argparse.Namespace(events=[events], json=place))
    assert json.loads(place.read_text())["per_hour"]["happy"]["value"] == 100.0


@pytest.mark.parametrize(
    ("content", "complaint"),
    [("no json\n", "not a file of events"), ("", "no session ended")],
)
def test_refuses_other_files_in_one_line(tmp_path, content, complaint):
    path = tmp_path / "call.jsonl"
    path.write_text(content)
    with pytest.raises(UserError, match=complaint):
        alarms.read(path)

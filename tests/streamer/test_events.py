"""The wire: what is written can be read, by us and by anyone who has the schema."""

import json
from datetime import UTC, datetime
from typing import get_args

import jsonschema
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from streamer import events

NOW = datetime(2026, 1, 2, 3, 4, 5, 678_000, tzinfo=UTC)
COMMON = {"session": "s", "seq": 3, "time": NOW}
ABOUT = {"channel": "customer", "start": 1.23456, "end": 2.0}
PROBABILITIES = {"angry": 0.123456, "happy": 0.876544}
EVENTS = [
    events.SessionStarted(
        **COMMON,
        source="call.ogg",
        channels=["agent", "customer"],
        model=events.Model(name="streamer-en-1", version="1"),
        labels=["angry", "happy"],
        asr="none",
        streamer_version="0.1.0",
    ),
    events.SpeechStarted(**COMMON, **ABOUT, utterance="u"),
    events.SpeechUpdate(**COMMON, **ABOUT, utterance="u", probabilities=PROBABILITIES),
    events.Utterance(
        **COMMON,
        **ABOUT,
        utterance="u",
        turn=0,
        emotion="happy",
        confidence=0.876544,
        probabilities=PROBABILITIES,
        abstained=False,
        text="Bonjour, ça va?",
        text_status="ok",
        modalities=["audio", "text"],
        language="fr",
        latency_ms=events.Latency(endpoint=500, transcription=12.34, analysis=5, total=517.34),
    ),
    events.Mood(**COMMON, **ABOUT, probabilities=PROBABILITIES, trend="improving"),
    events.SpeakerMerged(**COMMON, channel="mono", speaker="mono/3", into="mono/1", at=9),
    events.Gap(**COMMON, **ABOUT, reason="unplugged"),
    events.Mark(**COMMON, at=3.5, label="hung up"),
    events.Sound(**COMMON, **ABOUT, sound="laugh", confidence=0.8),
    events.Alert(**COMMON, rule="angry", at=4.5, since=2, speaker="customer", evidence=["u"]),
    events.Summary(
        **COMMON,
        duration=8,
        talk={
            "customer": events.Talk(
                seconds=2,
                share=1,
                turns=1,
                longest_turn=2,
                words_per_minute=None,
                loudness_db=-23.5,
                emotions={"happy": 1},
                overall=4.5,
                quarters=[events.Period(start=2 * i, end=2 * i + 2, score=None) for i in range(4)],
                interruptions=events.Amount(count=0, seconds=0),
            )
        },
        non_talk=events.NonTalk(seconds=6, longest=5),
        overlap=events.Amount(count=0, seconds=0),
        response_time={"customer": 0.5},
        alerts={"angry": 1},
        gaps=events.Amount(count=0, seconds=0),
        abstained=0,
    ),
    events.Error(**COMMON, part="transcription", message="it broke"),
    events.SessionEnded(**COMMON, duration=60, utterances=1, gaps=1, errors=1, reason="finished"),
]


def test_the_examples_are_all_types_there_are():
    union = get_args(get_args(events.Event)[0])
    assert {type(event) for event in EVENTS} == set(union)


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: e.type)
def test_an_event_is_one_line_that_the_schema_allows_and_that_reads_back(event):
    line = event.to_json()
    assert "\n" not in line
    jsonschema.validate(json.loads(line), events.json_schema())
    assert events.parse(line).to_json() == line


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: e.type)
def test_every_event_carries_the_common_fields(event):
    fields = json.loads(event.to_json())
    assert fields["schema"] == "streamer/1"
    assert fields["time"] == "2026-01-02T03:04:05.678Z"
    assert {"type", "session", "seq"} <= fields.keys()


@pytest.mark.parametrize("event", EVENTS, ids=lambda e: e.type)
def test_readers_ignore_what_they_do_not_know(event):
    fields = json.loads(event.to_json()) | {"from_the_future": {"a": 1}}
    assert events.parse(json.dumps(fields)) == events.parse(event.to_json())


def test_times_have_three_decimals_and_probabilities_four():
    fields = json.loads(EVENTS[3].to_json())
    assert fields["start"] == 1.235
    assert fields["probabilities"] == {"angry": 0.1235, "happy": 0.8765}


@given(st.dictionaries(st.text(max_size=10), st.integers() | st.text(max_size=10), max_size=6))
def test_anything_else_is_refused_with_a_validation_error(fields):
    with pytest.raises(ValidationError):
        events.parse(json.dumps(fields))


@pytest.mark.parametrize(
    "change",
    [{"schema": "streamer/2"}, {"type": "dance"}, {"seq": -1}, {"time": "2026-01-02T03:04:05"}],
)
def test_an_event_of_another_version_or_without_sense_is_refused(change):
    fields = json.loads(EVENTS[0].to_json()) | change
    with pytest.raises(ValidationError):
        events.parse(json.dumps(fields))

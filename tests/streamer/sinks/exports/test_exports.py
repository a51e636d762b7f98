"""Exports: each is read back by a library of its field."""

import io
import json
from html import unescape
from xml.etree import ElementTree as ET

import pandas as pd
import pympi
import pytest
import srt
import webvtt
from hypothesis import given
from hypothesis import strategies as st
from praatio import textgrid
from pyannote.core import Segment

from streamer import events
from streamer.sinks.exports import FORMATS, conversation
from streamer.sinks.exports.annotation import eaf, rttm
from streamer.sinks.exports.aws import participants
from streamer.sinks.exports.emotionml import NAMESPACE
from tests.composed_calls import LABELS, Said, compose

SOUND = events.Acoustics(loudness_db=-21.5, pitch_hz=180.0, words_per_minute=150.0)
ODD = [
    '<b>bold</b> & "quoted" --> arrow',
    "שלום, מה שלומך?",
    "😀 done, naïve café",
    "comma, semicolon; 'quote'",
]


def call():
    said = [
        Said("agent", 1.0, 4.0, "neutral", "good morning", {"acoustics": SOUND}),
        Said("customer", 3.5, 9.0, "angry", "my parcel\nis lost"),
        Said("agent", 7.5, 12.0, None, "let me see"),
        *(Said("customer", 13.0 + 3 * i, 15.25 + 3 * i, "sad", text) for i, text in enumerate(ODD)),
        Said("agent", 30.0, 33.0, "happy", None),
    ]
    alert = {"rule": "angry", "at": 9.0, "since": 3.5, "speaker": "customer", "evidence": []}
    return compose(said, 40.0, more=[(events.Alert, alert)])


CALL = conversation("call", call())
TEXTS = ["good morning", "my parcel is lost", "let me see", *ODD]
TIMES = [(each.start, each.end) for each in CALL.segments]


def written(name, *conversations):
    return FORMATS[name].write(conversations or [CALL]).decode()


def xml(text):
    return ET.fromstring(text)  # noqa: S314 - written by ourselves


def test_webvtt_carries_times_voices_and_texts():
    captions = webvtt.from_string(written("vtt"))
    assert [unescape(each.text) for each in captions] == [*TEXTS, "[text withheld]"]
    assert (captions[1].start, captions[1].end) == ("00:00:03.500", "00:00:09.000")
    assert [each.voice for each in captions] == [each.speaker for each in CALL.segments]
    assert captions[1].raw_text.startswith("<v.angry customer>")


def test_srt_carries_times_speakers_and_texts():
    subtitles = list(srt.parse(written("srt")))
    assert [(each.start.total_seconds(), each.end.total_seconds()) for each in subtitles] == TIMES
    assert subtitles[1].content == "customer: my parcel is lost"
    assert [each.content.partition(": ")[2] for each in subtitles] == [*TEXTS, "[text withheld]"]


def test_rttm_carries_who_speaks_when():
    from pyannote.core import Annotation

    annotation = Annotation(uri="call")
    for line in written("rttm").splitlines():
        kind, uri, _, start, duration, _, _, speaker, _, _ = line.split(" ")
        assert (kind, uri) == ("SPEAKER", "call")
        begin = float(start)
        annotation[Segment(begin, begin + float(duration)), speaker] = speaker
    assert annotation.chart() == [("customer", pytest.approx(14.5)), ("agent", pytest.approx(10.5))]
    assert annotation.get_timeline().extent() == Segment(1.0, 33.0)


def test_textgrid_has_a_tier_of_texts_and_one_of_emotions_for_each_speaker(tmp_path):
    path = tmp_path / "call.TextGrid"
    path.write_bytes(FORMATS["textgrid"].write([CALL]))
    grid = textgrid.openTextgrid(str(path), includeEmptyIntervals=False)
    assert grid.tierNames == ("agent", "agent emotion", "customer", "customer emotion")
    assert grid.maxTimestamp == 40.0
    customer = grid.getTier("customer").entries
    assert [entry.label for entry in customer] == ["my parcel is lost", *ODD]
    assert (customer[0].start, customer[0].end) == (3.5, 9.0)
    emotions = grid.getTier("customer emotion").entries
    assert [entry.label for entry in emotions] == ["angry", "sad", "sad", "sad", "sad"]


def test_eaf_has_tiers_for_elan(tmp_path):
    path = tmp_path / "call.eaf"
    path.write_bytes(FORMATS["eaf"].write([CALL]))
    document = pympi.Eaf(str(path))
    assert set(document.get_tier_names()) == {
        "agent",
        "agent emotion",
        "customer",
        "customer emotion",
    }
    texts = sorted(document.get_annotation_data_for_tier("customer"))
    assert texts[0] == (3500, 9000, "my parcel is lost")
    assert [text for _, _, text in texts] == ["my parcel is lost", *ODD]
    emotions = sorted(document.get_ref_annotation_data_for_tier("agent emotion"))
    assert [each[2] for each in emotions] == ["neutral", "uncertain", "happy"]


def test_csv_and_parquet_are_the_same_table():
    table = pd.read_csv(io.StringIO(written("csv")), keep_default_na=False, na_values=[""])
    stored = pd.read_parquet(io.BytesIO(FORMATS["parquet"].write([CALL])))
    assert list(table.columns) == list(stored.columns)
    assert list(stored["text"])[:2] == ["good morning", "my parcel\nis lost"]
    assert [each for each in table["text"] if isinstance(each, str)] == [
        each for each in stored["text"] if isinstance(each, str)
    ]
    assert list(table["start"]) == list(stored["start"]) == [start for start, _ in TIMES]
    assert list(stored["abstained"]).count(True) == 1
    assert stored["loudness_db"][0] == -21.5
    assert list(stored[[f"p_{label}" for label in LABELS]].iloc[1]) == [1, 0, 0, 0]


def test_a_table_holds_several_conversations():
    other = conversation("other", compose([Said("a", 0, 1)], 2.0, session="other"))
    table = pd.read_csv(io.StringIO(written("csv", CALL, other)))
    assert list(table["session"].unique()) == ["call", "other"]
    assert len(table) == len(CALL.segments) + 1


def test_emotionml_keeps_the_rules_of_its_schema():
    document = xml(written("emotionml"))
    names = {"e": NAMESPACE}
    assert document.tag == f"{{{NAMESPACE}}}emotionml"
    assert document.get("version") == "1.0"
    vocabulary = document.find("e:vocabulary[@id='labels']", names)
    assert document.get("category-set") == "#labels"
    items = {item.get("name") for item in vocabulary.findall("e:item", names)}
    emotions = document.findall("e:emotion", names)
    assert len(emotions) == len(CALL.segments) - 1, "an utterance without labels is no emotion"
    assert len({each.get("id") for each in emotions}) == len(emotions)
    for each in emotions:
        categories = each.findall("e:category", names)
        assert {category.get("name") for category in categories} == items
        assert all(0 <= float(category.get("confidence")) <= 1 for category in categories)
        assert int(each.get("duration")) > 0
        assert each.find("e:reference", names).get("role") == "expressedBy"
        assert each.find("e:reference", names).get("uri").startswith("call.wav#t=")
    assert emotions[1].find("e:info", names)[0].text == "my parcel is lost"


def test_emotionml_scales_dimensions_to_its_range():
    dimensions = events.Dimensions(valence=-1, arousal=0.5)
    said = [Said("a", 0, 1, fields={"dimensions": dimensions})]
    document = xml(written("emotionml", conversation("x", compose(said, 2.0))))
    values = [float(each.get("value")) for each in document.iter(f"{{{NAMESPACE}}}dimension")]
    assert values == [0.0, 0.75]
    assert document.get("dimension-set") == "#dimensions"


def test_aws_has_the_fields_of_call_analytics():
    document = json.loads(written("aws"))
    assert document["Version"] == "1.1.0"
    turn = document["Transcript"][1]
    assert turn | {"Id": ""} == {
        "Id": "",
        "ParticipantId": "customer",
        "ParticipantRole": "CUSTOMER",
        "BeginOffsetMillis": 3500,
        "EndOffsetMillis": 9000,
        "Content": "my parcel\nis lost",
        "Sentiment": "NEGATIVE",
        "Items": [],
        "IssuesDetected": [],
    }
    figures = document["ConversationCharacteristics"]
    assert figures["TotalConversationDurationMillis"] == 40_000
    assert figures["TalkTime"]["DetailsByParticipant"]["AGENT"] == {"TotalTimeMillis": 10_500}
    assert figures["Interruptions"] == {
        "TotalCount": 1,
        "TotalTimeMillis": 1500,
        "InterruptionsByInterrupter": {
            "AGENT": [{"BeginOffsetMillis": 7500, "DurationMillis": 1500, "EndOffsetMillis": 9000}]
        },
    }
    assert figures["NonTalkTime"]["TotalTimeMillis"] == sum(
        each["DurationMillis"] for each in figures["NonTalkTime"]["Instances"]
    )
    quarter = figures["Sentiment"]["SentimentByPeriod"]["QUARTER"]["CUSTOMER"][0]
    assert quarter == {"BeginOffsetMillis": 0, "EndOffsetMillis": 10_000, "Score": -5.0}
    assert document["Categories"]["MatchedDetails"]["angry"]["PointsOfInterest"] == [
        {"BeginOffsetMillis": 3500, "EndOffsetMillis": 9000}
    ]


def test_roles_follow_names_then_order():
    assert participants(["agent", "customer"]) == {"agent": "AGENT", "customer": "CUSTOMER"}
    assert participants(["customer", "x"]) == {"customer": "CUSTOMER", "x": "AGENT"}
    assert participants(["1", "2", "3"]) == {"1": "AGENT", "2": "CUSTOMER", "3": "3"}


texts = st.none() | st.text(max_size=40)
said = st.lists(
    st.tuples(st.sampled_from(["a", "b c"]), st.floats(0, 60), st.floats(0, 9), texts), max_size=8
)


@given(said)
def test_any_texts_and_times_make_files_that_can_be_read(drawn):
    spoken = [Said(who, start, start + length, text=text) for who, start, length, text in drawn]
    exported = conversation("call", compose(spoken, 70.0))
    assert len(list(srt.parse(written("srt", exported)))) == len(drawn)
    if drawn:
        assert len(webvtt.from_string(written("vtt", exported))) == len(drawn)
    xml(eaf(exported))
    xml(written("emotionml", exported))
    assert len(json.loads(written("aws", exported))["Transcript"]) == len(drawn)
    assert all(len(line.split(" ")) == 10 for line in rttm(exported).splitlines())
    table = pd.read_parquet(io.BytesIO(FORMATS["parquet"].write([exported])))
    assert len(table) == len(drawn)


@given(said)
def test_tiers_of_a_speaker_never_overlap(drawn):
    spoken = [Said(who, start, start + length) for who, start, length, _ in drawn]
    for segments in conversation("call", compose(spoken, 70.0)).by_speaker().values():
        ends = [0.0]
        for each in segments:
            assert ends[-1] <= each.start < each.end
            ends.append(each.end)

"""How often shown words change, and how soon words are shown."""

import pytest

from streamer.events import SessionEnded, SpeechUpdate, Utterance, Word
from tools.evaluate.partials import measure, report, revised

COMMON = {
    "session": "s",
    "seq": 0,
    "time": "2026-01-01T00:00:00Z",
    "channel": "a",
    "utterance": "u",
}
LATENCY = {"endpoint": 500, "transcription": 0, "analysis": 0, "total": 500}


def update(end, text):
    return SpeechUpdate(**COMMON, start=0, end=end, probabilities={}, text=text)


def utterance(text):
    words = [Word(word=word, start=place, end=place + 1) for place, word in enumerate(text.split())]
    return Utterance(
        **COMMON,
        start=0,
        end=5,
        turn=0,
        emotion=None,
        confidence=0,
        probabilities={},
        abstained=True,
        text=text,
        text_status="ok",
        modalities=[],
        language="en",
        latency_ms=LATENCY,
        words=words,
    )


@pytest.mark.parametrize(
    ("before", "after", "changed"),
    [
        ("", "one two", 0),
        ("one two", "one two three", 0),
        ("one two", "one too three", 1),
        ("one two three", "one two", 1),
        ("one two", "", 2),
    ],
)
def test_words_that_are_gone_have_changed(before, after, changed):
    assert revised(before.split(), after.split()) == changed


def test_counts_what_was_shown_and_how_soon():
    found = measure(
        [
            update(1.5, None),
            update(2.0, "one"),
            update(4.0, "One, to"),
            utterance("one two three four"),
            SessionEnded(
                **{k: COMMON[k] for k in ("session", "seq", "time")},
                duration=6,
                utterances=1,
                gaps=0,
                errors=0,
                reason="finished",
            ),
        ]
    )
    assert (found.utterances, found.steady, found.words) == (1, 0, 4)
    assert (found.shown, found.changed, found.seconds) == (2, 1, 6)
    assert found.delays == [1.0, 2.0]
    result = report([found, found])
    assert result["changed"] == {"value": 0.25, "low": 0.25, "high": 0.25}
    assert result["shown"] == 0.5


def test_reports_recordings_without_words():
    assert report([measure([])])["changed"] == {"value": None, "low": None, "high": None}

"""The console: a line for each turn, and in a terminal what goes on now."""

import io
import re
from datetime import UTC, datetime

import pytest
from rich.console import Console

from streamer import events
from streamer.sinks.console import ConsoleSink
from streamer.views import view

COMMON = {"session": "s", "seq": 0, "time": datetime(2026, 1, 1, tzinfo=UTC)}
ABOUT = {"channel": "customer", "start": 62.0, "end": 64.5}
ANGRY = {"angry": 0.82, "happy": 0.04, "sad": 0.04, "neutral": 0.1}
STARTED = events.SessionStarted(
    **COMMON,
    source="call.ogg",
    channels=["agent", "customer"],
    model=events.Model(name="m", version="1"),
    labels=list(ANGRY),
    asr="none",
    streamer_version="0",
)
LATENCY = events.Latency(endpoint=500, transcription=20, analysis=5, total=525)


def utterance(**fields):
    return events.Utterance(
        **COMMON
        | ABOUT
        | {
            "utterance": "u",
            "turn": 0,
            "emotion": "angry",
            "confidence": 0.82,
            "probabilities": ANGRY,
            "abstained": False,
            "text": "where is my parcel",
            "text_status": "ok",
            "modalities": ["audio", "text"],
            "language": "en",
            "latency_ms": LATENCY,
        }
        | fields
    )


async def shown(*shown_events, terminal=False, width=80):
    """What the sink writes."""
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=width, height=24, highlight=False)
    async with ConsoleSink(console=console) as sink:
        for event in shown_events:
            await sink.emit(event)
    return out.getvalue()


async def test_a_turn_is_one_line_with_all_that_matters():
    text = await shown(STARTED, utterance())
    (line,) = [line for line in text.splitlines() if "01:02.0" in line]
    for part in ("customer", "angry", "82%", "525 ms", "where is my parcel"):
        assert part in line


@pytest.mark.parametrize(
    ("fields", "part"),
    [
        ({"abstained": True}, "angry?"),
        ({"text": None, "text_status": "rejected"}, "no clear words"),
        ({"text": None, "text_status": "withheld"}, "withheld"),
        ({"emotion": None, "probabilities": {}, "confidence": 0.0}, "?"),
    ],
)
async def test_doubt_and_missing_text_are_shown(fields, part):
    assert part in await shown(STARTED, utterance(**fields))


async def test_gaps_errors_and_the_end_are_told():
    text = await shown(
        STARTED,
        events.Gap(**COMMON, **ABOUT, reason="unplugged"),
        events.Error(**COMMON, part="transcription", message="it broke"),
        utterance(),
        events.SessionEnded(
            **COMMON, duration=70, utterances=1, gaps=1, errors=1, reason="finished"
        ),
    )
    assert "customer: 2.50 s lost (unplugged)" in text
    assert "transcription: it broke" in text
    assert "finished: 1 utterances in 01:10.0" in text
    assert "p95 525 ms" in text


async def test_a_terminal_shows_who_speaks_the_estimate_and_the_moods():
    text = await shown(
        STARTED,
        events.Mood(**COMMON, **ABOUT, probabilities=ANGRY, trend="worsening"),
        events.SpeechStarted(**COMMON, **ABOUT, utterance="u"),
        events.SpeechUpdate(**COMMON, **ABOUT, utterance="u", probabilities=ANGRY),
        terminal=True,
    )
    assert "speaking: angry 82%" in text
    assert "worsening" in text
    assert any(spark in text for spark in "▁▂▃▄▅▆▇█")


@pytest.mark.parametrize(
    ("said", "latest"),
    [
        ("where is my", "  where is my"),
        ("word " * 20 + "the end", "  …"),
        ("a\x1b[2J", "a\ufffd[2J"),
    ],
)
async def test_shows_the_latest_words_while_they_are_spoken(said, latest):
    update = events.SpeechUpdate(**COMMON, **ABOUT, utterance="u", probabilities=ANGRY, text=said)
    text = await shown(STARTED, update, terminal=True, width=120)
    assert latest in text
    assert said[-7:] in text or "\x1b" in said


async def test_a_long_transcript_stays_on_its_line_in_a_narrow_terminal():
    text = await shown(STARTED, utterance(text="word " * 100), terminal=True, width=60)
    (line,) = [
        line
        for line in re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", text).splitlines()
        if "01:02" in line
    ]
    assert len(line) == 60
    assert line.endswith("…")


async def test_markup_in_a_transcript_is_text():
    assert "[bold]hello[/bold]" in await shown(STARTED, utterance(text="[bold]hello[/bold]"))


async def test_the_terminal_shows_each_speakers_share_of_the_talk():
    agent = utterance(channel="agent", start=0.0, end=7.5)
    assert " 25%" in await shown(STARTED, agent, utterance(), terminal=True)


async def test_an_alert_is_a_line_and_its_end_is_none():
    alert = {"rule": "angry customer", "at": 62.0, "since": 50.0, "speaker": "customer"}
    text = await shown(
        STARTED, events.Alert(**COMMON, **alert), events.Alert(**COMMON, **alert, active=False)
    )
    assert text.count("01:02.0  alert: angry customer (customer)") == 1


async def test_a_summary_is_a_small_table():
    state = view([STARTED, utterance(), utterance(channel="agent", start=70.0, end=72.5)])
    text = await shown(STARTED, events.Summary(**COMMON, **dict(state.figures())))
    table = [line.split() for line in text.splitlines()[1:]]
    assert table[0][:3] == ["talk", "share", "turns"]
    assert table[1][:4] == ["agent", "00:02.5", "50%", "1"]
    assert table[2][:4] == ["customer", "00:02.5", "50%", "1"]
    assert table[3][:2] == ["nobody", "speaks"]

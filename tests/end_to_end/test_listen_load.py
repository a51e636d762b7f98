"""Live conversations that cannot keep up, and live against replay."""

import asyncio
import time

import numpy as np
import pytest

from streamer.audio import AudioChunk
from streamer.clock import WallClock
from streamer.control import LiveStatus
from streamer.conversation.speech_stage import SpeechStage
from streamer.sources import SourceInfo
from streamer.transcription import Transcript
from tests.end_to_end.conversations import (
    Kept,
    check_promises,
    converse,
    engine_for,
    silence,
    voice,
)

PIECE = 480


class Spoken:
    """A live source that speaks at once for as long as it is asked to, never waiting for anybody."""

    def __init__(self, signal_, pace=0.0):
        self._signal = signal_
        self._pace = pace
        self.info = SourceInfo("spoken", ("speaker",), live=True, session="spoken")

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def __aiter__(self):
        for start in range(0, len(self._signal), PIECE):
            yield AudioChunk(0, start, self._signal[start : start + PIECE])
            await asyncio.sleep(self._pace)


class Slow:
    """A recogniser that takes its time."""

    name = "slow"

    def __init__(self, seconds):
        self._seconds = seconds

    def transcribe(self, samples, *, language):
        time.sleep(self._seconds)
        return Transcript("words", "ok", "en")

    def close(self):
        pass


def turns(count):
    parts = [part for n in range(count) for part in (voice(0.8, n), silence(0.8))]
    return np.concatenate([silence(0.5), *parts])


async def live_conversation(engine, source, status=None):

    kept = Kept()
    status = status or LiveStatus()
    await engine.run(source, [kept], WallClock(), status=status)
    return kept.events, status


def test_a_slow_transcriber_costs_transcripts_and_nothing_else(random_bundle):
    bound = 1.0
    with engine_for(random_bundle, Slow(2.5), live__max_lag=bound, ahead=False) as engine:
        events, status = asyncio.run(live_conversation(engine, Spoken(turns(6), pace=0.03)))
    check_promises(events)
    said = [e for e in events if e.type == "utterance"]
    assert len(said) >= 4
    assert {e.text_status for e in said} == {"skipped"}
    assert not [e for e in events if e.type == "gap"]
    assert status.lost == 0
    assert sum("transcription is behind" in e.message for e in events if e.type == "error") == 1


def test_no_utterance_waits_for_its_transcript_beyond_the_bound(random_bundle):
    bound = 4.0
    with engine_for(random_bundle, Slow(6.0), live__max_lag=bound, ahead=False) as engine:
        events, _ = asyncio.run(live_conversation(engine, Spoken(turns(1), pace=0.03)))
    check_promises(events)
    (said,) = [e for e in events if e.type == "utterance"]
    assert said.text_status == "skipped"
    assert bound <= said.latency_ms.total / 1000 < bound + 1


def test_slow_analysis_sheds_estimates_and_audio_and_reports_it(random_bundle, monkeypatch):
    # Audio comes faster than in reality, and must not pass for what had waited before the start.
    monkeypatch.setattr("streamer.conversation.buffer._START", 0.0)
    bound, status, lags = 1.0, LiveStatus(), []
    with engine_for(random_bundle, live__max_lag=bound) as engine:
        process = SpeechStage.process

        async def slow(stage, effort):
            await asyncio.sleep(0.02)
            lags.append(status.lag)
            return await process(stage, effort)

        monkeypatch.setattr(SpeechStage, "process", slow)
        events, _ = asyncio.run(live_conversation(engine, Spoken(turns(12), pace=0.001), status))
    check_promises(events)
    assert bound / 2 < max(lags) <= bound + PIECE / 16_000
    gaps = [e for e in events if e.type == "gap"]
    assert {gap.reason for gap in gaps} == {"behind"}
    assert sum(gap.end - gap.start for gap in gaps) == pytest.approx(status.lost, abs=0.1)
    reported = " ".join(e.message for e in events if e.type == "error")
    assert "no transcription, no estimates while people speak" in reported
    assert events[-1].duration == pytest.approx(len(turns(12)) / 16_000, abs=0.05)


def test_a_machine_that_keeps_up_sheds_nothing(random_bundle):
    with engine_for(random_bundle, Slow(0.05), live__max_lag=60.0) as engine:
        events, status = asyncio.run(live_conversation(engine, Spoken(turns(4), pace=0.01)))
    check_promises(events)
    said = [e for e in events if e.type == "utterance"]
    assert [(e.text, e.modalities) for e in said] == [("words", ["audio", "text"])] * 4
    assert status.lost == 0
    assert not [e for e in events if e.type in ("gap", "error")]


def test_late_updates_still_come_before_their_utterance(random_bundle):
    with engine_for(random_bundle, live__max_lag=60.0) as engine:
        classify = engine.runtime.classify

        async def late(window):
            await asyncio.sleep(0.2)
            return await classify(window, live=True)

        def classify_updates_late(window, *, live, may_wait=False):
            if not may_wait:
                return classify(window, live=live)
            return asyncio.get_running_loop().create_task(late(window))

        engine.runtime.classify = classify_updates_late
        events, _ = asyncio.run(live_conversation(engine, Spoken(turns(4))))
    check_promises(events)
    assert len([e for e in events if e.type == "utterance"]) == 4
    reported = set()
    for event in events:
        if event.type == "utterance":
            reported.add(event.utterance)
        elif event.type == "speech_update":
            assert event.utterance not in reported


async def test_live_and_replay_hear_the_same(random_bundle):
    signal_ = turns(3)

    class Recorded(Spoken):
        def __init__(self, signal_):
            super().__init__(signal_)
            self.info = SourceInfo("spoken", ("speaker",), live=False, session="spoken")

    with engine_for(random_bundle, live__max_lag=60.0) as engine:
        _, replayed = await converse(Recorded(signal_), engine)
        heard, _ = await live_conversation(engine, Spoken(signal_))

    reported = [
        (e.start, e.end, e.emotion, pytest.approx(e.probabilities, abs=1e-6))
        for e in replayed
        if e.type == "utterance"
    ]
    assert len(reported) == 3
    assert [
        (e.start, e.end, e.emotion, e.probabilities) for e in heard if e.type == "utterance"
    ] == reported

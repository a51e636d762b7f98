"""The pipeline over known audio: what it promises holds whatever the source and the stages do."""

import asyncio
import itertools
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from streamer.control import Control
from streamer.errors import SourceError, UserError
from streamer.transcription import Transcript
from tests.end_to_end.conversations import (
    Played,
    WithGap,
    check_promises,
    comparable,
    converse,
    engine_for,
    silence,
    two_speakers,
    voice,
)


@pytest.fixture(scope="module")
def engine(random_bundle):
    with engine_for(random_bundle) as engine:
        yield engine


@pytest.fixture(scope="module")
def reference(engine):
    """The events of the two speakers, their audio delivered in one go."""
    return asyncio.run(converse(Played(two_speakers(), (1 << 30,)), engine))[1]


def test_each_turn_of_two_speakers_is_an_utterance(reference):
    check_promises(reference)
    turns = [(e.channel, e.start, e.end) for e in reference if e.type == "utterance"]
    assert [channel for channel, _, _ in turns] == ["channel1", "channel2", "channel1", "channel2"]
    for (_, start, end), (begun, over) in zip(
        turns, [(0.7, 2.3), (3.2, 4.5), (5.3, 7.5), (5.7, 7.6)], strict=True
    ):
        assert start <= begun + 0.1
        assert end == pytest.approx(over, abs=0.35)


def test_events_come_in_the_order_of_audio_time(reference):
    updates = [e for e in reference if e.type in ("speech_started", "utterance")]
    assert len(updates) == 8
    assert [e.turn for e in reference if e.type == "utterance"] == [0, 1, 2, 3]


def test_estimates_come_while_speaking_half_a_second_apart_and_once_at_the_end(reference):
    for utterance in {e.utterance for e in reference if e.type == "speech_started"}:
        about = [e for e in reference if getattr(e, "utterance", None) == utterance]
        assert about[0].type == "speech_started"
        assert about[-1].type == "utterance"
        updates = [e for e in about if e.type == "speech_update"]
        assert updates[-1].end == about[-1].end
        ends = [e.end for e in updates[:-1]]
        assert all(b - a >= 0.499 for a, b in itertools.pairwise(ends))


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(sizes=st.lists(st.integers(1, 160_000), min_size=1, max_size=4))
def test_any_chunks_give_the_same_events(engine, reference, sizes):
    if max(sizes) < 50:
        sizes.append(3000)
    _, events = asyncio.run(converse(Played(two_speakers(), sizes), engine))
    assert comparable(events) == comparable(reference)


def test_single_samples_give_the_same_events(engine):
    signal = np.concatenate([silence(0.2), voice(0.8), silence(0.8)])[:, None]
    whole = asyncio.run(converse(Played(signal, (1 << 30,)), engine))[1]
    single = asyncio.run(converse(Played(signal, (1,)), engine))[1]
    assert comparable(single) == comparable(whole)
    assert any(e.type == "utterance" for e in whole)


def test_load_on_the_machine_changes_nothing(engine, reference):
    with ThreadPoolExecutor(4) as pool:
        busy = [pool.submit(lambda: sum(np.linalg.norm(np.eye(300)) for _ in range(30)))] * 4
        _, events = asyncio.run(converse(Played(two_speakers()), engine))
        assert all(work.result() for work in busy)
    assert comparable(events) == comparable(reference)


@settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
@given(moment=st.floats(0.5, 9.0), seed=st.integers(0, 5))
@example(moment=9.0, seed=0)
def test_what_comes_later_never_changes_what_was_emitted(engine, reference, moment, seed):
    signal = two_speakers()
    place = round(moment * 16_000)
    signal[place:] = np.random.default_rng(seed).normal(0, 0.2, signal[place:].shape)
    _, events = asyncio.run(converse(Played(signal), engine))
    during = [e for e in reference if e.type not in ("summary", "session_ended")]
    known = list(itertools.takewhile(lambda e: getattr(e, "end", 0) + 0.8 < moment, during))
    assert comparable(events)[: len(known)] == comparable(known)


@pytest.mark.parametrize(
    "signal",
    [
        np.zeros((0, 1)),
        np.zeros((1, 1)),
        np.zeros((32_000, 2)),
        np.random.default_rng(0).normal(0, 0.05, (48_000, 1)),
        np.full((32_000, 1), 0.7),
        np.sign(np.sin(np.arange(48_000) / 20))[:, None],
        np.clip(20 * voice(2.0), -1, 1)[:, None],
        voice(0.5)[:, None],
    ],
    ids=["empty", "sample", "silence", "noise", "dc", "square", "clipped", "unfinished"],
)
def test_odd_audio_is_a_proper_session(engine, signal):
    outcome, events = asyncio.run(converse(Played(signal.astype(np.float32)), engine))
    check_promises(events)
    assert outcome.reason == "finished"
    if not np.abs(signal).max(initial=0):
        assert outcome.utterances == 0


def test_damage_keeps_the_audio_before_it_and_is_reported(engine):
    source = Played(two_speakers()[: 16_000 * 4], failure=SourceError("damaged at 4.00 s"))
    outcome, events = asyncio.run(converse(source, engine))
    check_promises(events)
    assert outcome.reason == events[-1].reason == "failed"
    assert [e.message for e in events if e.type == "error"] == ["damaged at 4.00 s"]
    assert outcome.utterances == 2


def test_lost_audio_is_a_gap_and_ends_the_utterance_it_falls_into(engine):
    _, events = asyncio.run(converse(WithGap(two_speakers()), engine))
    check_promises(events)
    (gap,) = [e for e in events if e.type == "gap"]
    assert (gap.channel, gap.start, gap.end, gap.reason) == ("channel1", 1.5, 2.0, "unplugged")
    first = next(e for e in events if e.type == "utterance")
    assert first.end <= 1.5


class Scripted:
    """A transcriber with fixed answers."""

    name = "scripted"

    def __init__(self, *transcripts):
        self._transcripts = list(transcripts)

    def transcribe(self, samples, *, language):
        transcript = self._transcripts.pop(0)
        if isinstance(transcript, Exception):
            raise transcript
        return transcript

    def close(self):
        pass


def test_every_utterance_ends_whatever_becomes_of_its_transcript(random_bundle):
    transcriber = Scripted(
        Transcript("good morning", "ok", "en"),
        Transcript("", "rejected", reason="repeats"),
        Transcript("", "failed", reason="out of memory"),
        RuntimeError("the library broke"),
    )
    with engine_for(random_bundle, transcriber) as engine:
        _, events = asyncio.run(converse(Played(two_speakers()), engine))
    check_promises(events)
    said = [e for e in events if e.type == "utterance"]
    assert [e.text_status for e in said] == ["ok", "rejected", "failed", "failed"]
    assert [e.text for e in said] == ["good morning", None, None, None]
    assert [e.modalities for e in said] == [["audio", "text"], ["audio"], ["audio"], ["audio"]]
    assert [e.part for e in events if e.type == "error"] == ["transcription"] * 2


def test_withheld_text_is_used_but_never_leaves(random_bundle, caplog):
    secret = Transcript("my card number", "ok", "en")
    with engine_for(random_bundle, Scripted(*[secret] * 4), privacy__text=False) as engine:
        _, events = asyncio.run(converse(Played(two_speakers()), engine))
    said = [e for e in events if e.type == "utterance"]
    assert {(e.text, e.text_status) for e in said} == {(None, "withheld")}
    assert said[0].modalities == ["audio", "text"]
    assert "card number" not in "".join(comparable(events)) + caplog.text


def test_an_excluded_channel_is_not_analysed_and_a_context_channel_never_labelled(random_bundle):
    def events_with(mode):
        channels = {"channel1": mode}
        with engine_for(random_bundle, privacy__channels=channels) as engine:
            return asyncio.run(converse(Played(two_speakers()), engine))[1]

    excluded, context = events_with("exclude"), events_with("context")
    for events in (excluded, context):
        check_promises(events)
        assert {e.channel for e in events if hasattr(e, "channel")} == {"channel2"}
    assert [e.turn for e in excluded if e.type == "utterance"] == [0, 1]
    assert [e.turn for e in context if e.type == "utterance"] == [1, 3]
    assert comparable(excluded)[-4] != comparable(context)[-4]


def test_a_protected_channel_that_does_not_exist_is_an_error_before_analysis(random_bundle):
    expected = pytest.raises(UserError, match="agent: exclude, but the channels are channel1")
    with engine_for(random_bundle, privacy__channels={"agent": "exclude"}) as engine, expected:
        asyncio.run(converse(Played(two_speakers()), engine))


async def test_a_stop_ends_the_session_properly_with_its_reason(engine):
    control = Control()
    control.stop("interrupted")
    outcome, events = await converse(Played(two_speakers()), engine, control=control)
    check_promises(events)
    assert outcome.reason == events[-1].reason == "interrupted"


class Broken:
    """A sink whose disk is full after some events."""

    def __init__(self, after):
        self.left = after

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def emit(self, event):
        self.left -= 1
        if self.left < 0:
            raise OSError(28, "No space left on device")


def test_a_failed_sink_is_reported_to_the_others_and_stops_none(engine, reference):
    outcome, events = asyncio.run(converse(Played(two_speakers()), engine, sinks=[Broken(after=5)]))
    check_promises(events)
    assert outcome.reason == "finished"
    (error,) = [e for e in events if e.type == "error"]
    assert error.part == "sink broken"
    assert "No space left" in error.message
    assert len(events) == len(reference) + 1


async def test_a_stop_ends_the_wait_for_a_source_that_does_not_open(engine):
    class Closed(Played):
        async def __aenter__(self):
            await asyncio.sleep(3600)

    control = Control()
    control.stop("interrupted")
    outcome, events = await converse(Closed(two_speakers()), engine, control=control)
    assert (outcome.reason, events) == ("interrupted", [])

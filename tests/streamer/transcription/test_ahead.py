"""A transcript is begun at a pause, matched to the endpoint, waited for as long as it is worth it, or cancelled."""

import asyncio
from concurrent.futures import Future

import numpy as np
import pytest

from streamer.clock import WallClock
from streamer.control import Control
from streamer.transcription import Transcript
from streamer.transcription import ahead as ahead_module
from streamer.transcription.ahead import EmbeddedTranscript, PendingTranscript, Transcripts

SAMPLES = np.zeros(1600, np.float32)


class Pool:
    """Keeps what is submitted; the test does the work."""

    free = True

    def __init__(self):
        self.work = []
        self.thorough = []

    def submit(self, samples, *, thorough=False):
        self.thorough.append(thorough)
        self.work.append(Future())
        return PendingTranscript(self.work[-1])

    submit_draft = submit

    def begin(self, index=-1):
        assert self.work[index].set_running_or_notify_cancel()

    def finish(self, text="hello", index=-1):
        if not self.work[index].running():
            self.begin(index)
        self.work[index].set_result(EmbeddedTranscript(Transcript(text, "ok"), busy_ms=7.0))

    @property
    def cancelled(self):
        return [work.cancelled() for work in self.work]


@pytest.fixture
def pool():
    return Pool()


@pytest.fixture
def control():
    return Control()


@pytest.fixture
def transcripts(pool, control):
    return Transcripts(pool, WallClock(), control, ahead=True, live=True)


async def settle():
    for _ in range(5):
        await asyncio.sleep(0)


async def test_reuses_what_was_begun_at_the_pause_that_was_the_end(pool, transcripts):
    transcripts.pause(0, 5000, SAMPLES)
    pending = transcripts.endpoint(0, 5000, SAMPLES)
    pool.finish()
    assert (await transcripts.wait(pending)).transcript.text == "hello"
    assert len(pool.work) == 1
    assert transcripts.counts.reused == 1


async def test_cancels_what_was_begun_when_the_speaker_goes_on(pool, transcripts):
    transcripts.pause(0, 5000, SAMPLES)
    transcripts.resume(0)
    await settle()
    assert pool.cancelled == [True]
    transcripts.endpoint(0, 9000, SAMPLES)
    assert pool.cancelled == [True, False]
    assert (transcripts.counts.begun, transcripts.counts.cancelled) == (2, 1)


async def test_begins_again_if_the_utterance_ends_elsewhere(pool, transcripts):
    transcripts.pause(0, 5000, SAMPLES)
    transcripts.endpoint(0, 4000, SAMPLES)
    await settle()
    assert pool.cancelled == [True, False]


async def test_an_endpoint_without_transcription_still_uses_what_was_begun(pool, transcripts):
    transcripts.pause(0, 5000, SAMPLES)
    assert transcripts.endpoint(0, 5000, SAMPLES, begin=False) is not None
    assert transcripts.endpoint(0, 9000, SAMPLES, begin=False) is None
    assert len(pool.work) == 1


async def test_channels_do_not_affect_each_other(pool, transcripts):
    transcripts.pause(0, 5000, SAMPLES)
    transcripts.pause(1, 5000, SAMPLES)
    transcripts.resume(1)
    await settle()
    assert pool.cancelled == [False, True]


async def test_first_utterances_of_recorded_channels_are_transcribed_thoroughly(pool, control):
    transcripts = Transcripts(pool, WallClock(), control, ahead=True, live=False)
    transcripts.pause(0, 5000, SAMPLES)
    transcripts.resume(0)
    transcripts.pause(0, 6000, SAMPLES)
    transcripts.endpoint(0, 6000, SAMPLES)
    transcripts.pause(0, 9000, SAMPLES)
    transcripts.endpoint(1, 9000, SAMPLES)
    transcripts.endpoint(1, 12000, SAMPLES)
    assert pool.thorough == [True, True, False, True, False]


async def test_live_words_come_at_once_instead(pool, control):
    transcripts = Transcripts(pool, WallClock(), control, ahead=True, live=True)
    transcripts.endpoint(0, 5000, SAMPLES)
    assert pool.thorough == [False]


async def test_begins_at_the_endpoint_only_if_not_ahead(pool, control):
    transcripts = Transcripts(pool, WallClock(), control, ahead=False, live=True)
    transcripts.pause(0, 5000, SAMPLES)
    assert pool.work == []
    transcripts.endpoint(0, 5000, SAMPLES)
    assert len(pool.work) == 1


async def test_gives_up_what_has_not_begun_in_time(pool, transcripts):
    pending = transcripts.endpoint(0, 5000, SAMPLES)
    now = WallClock().seconds()
    text = await transcripts.wait(pending, begin_by=now + 0.02, finish_by=now + 60)
    assert (text.transcript.status, text.transcript.reason) == ("skipped", ahead_module.BEHIND)
    await settle()
    assert pool.cancelled == [True]


async def test_gives_up_what_has_not_finished_in_time(pool, transcripts):
    pending = transcripts.endpoint(0, 5000, SAMPLES)
    pool.begin()
    now = WallClock().seconds()
    text = await transcripts.wait(pending, begin_by=now + 0.01, finish_by=now + 0.03)
    assert text.transcript.reason == ahead_module.BEHIND
    assert transcripts.counts.cancelled == 1
    assert not pool.work[0].cancelled()  # under way, it cannot be broken off


async def test_waits_beyond_the_first_deadline_for_what_has_begun(pool, transcripts):
    pending = transcripts.endpoint(0, 5000, SAMPLES)
    pool.begin()
    asyncio.get_running_loop().call_later(0.05, pool.finish)
    now = WallClock().seconds()
    text = await transcripts.wait(pending, begin_by=now + 0.01, finish_by=now + 60)
    assert text.transcript.status == "ok"


async def test_waits_without_a_bound_for_a_recording(pool, transcripts):
    pending = transcripts.endpoint(0, 5000, SAMPLES)
    asyncio.get_running_loop().call_later(0.05, pool.finish)
    assert (await transcripts.wait(pending)).busy_ms == 7.0


async def test_a_stop_leaves_all_transcripts_together_a_moment(
    pool, transcripts, control, monkeypatch
):
    monkeypatch.setattr(transcripts, "_grace", ahead_module.Deadline(0.05))
    first, second, third = (transcripts.endpoint(n, 5000, SAMPLES) for n in range(3))
    control.stop("interrupted")
    asyncio.get_running_loop().call_later(0.01, pool.finish, "in time", 0)
    texts = [await transcripts.wait(pending) for pending in (first, second, third)]
    assert texts[0].transcript.text == "in time"
    assert [text.transcript.reason for text in texts[1:]] == [ahead_module.STOPPED] * 2


async def test_a_transcriber_that_raises_is_a_failed_transcript(pool, transcripts):
    pending = transcripts.endpoint(0, 5000, SAMPLES)
    pool.begin()
    pool.work[0].set_exception(KeyError("broken"))
    text = await transcripts.wait(pending)
    assert text.transcript.status == "failed"
    assert text.transcript.reason == "KeyError: 'broken'"


async def test_drafts_are_begun_while_somebody_speaks(pool, transcripts):
    draft = transcripts.draft(SAMPLES)
    pool.finish("so far")
    assert (await transcripts.wait(draft)).transcript.text == "so far"
    assert transcripts.counts.drafts == 1


@pytest.mark.parametrize("live", [False, True])
async def test_live_drafts_never_hold_up_whole_utterances(pool, control, live):
    transcripts = Transcripts(pool, WallClock(), control, ahead=True, live=live)
    pool.free = False
    assert (transcripts.draft(SAMPLES) is None) is live

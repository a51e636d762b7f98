"""Utterances are transcribed by as many workers as there are transcribers, and their text is embedded there."""

import asyncio
import threading

import numpy as np
import torch

from streamer.runtime.asr import AsrPool
from streamer.transcription import Transcript

SAMPLES = np.zeros(1600, np.float32)


class Says:
    """A transcriber that gives a transcript once its gate is open."""

    name = "says"

    def __init__(self, status="ok"):
        self.status = status
        self.gate = threading.Event()
        self.gate.set()
        self.closed = False

    def transcribe(self, samples, *, language):
        self.gate.wait(10)
        return Transcript("words", self.status, language)

    def close(self):
        self.closed = True


def embed(transcript):
    return torch.ones(3) if transcript.status == "ok" else None


async def until(condition):
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it changes in another thread
            await asyncio.sleep(0.001)


async def test_gives_a_transcript_with_the_embedding_of_its_text():
    pool = AsrPool([Says()], embed, language="en")
    text = await pool.submit(SAMPLES).result
    assert text.transcript == Transcript("words", "ok", "en")
    assert text.embedding.tolist() == [1, 1, 1]
    assert text.busy_ms >= 0
    pool.close()


async def test_a_rejected_transcript_has_no_embedding():
    pool = AsrPool([Says("rejected")], embed, language=None)
    assert (await pool.submit(SAMPLES).result).embedding is None
    pool.close()


async def test_a_text_that_cannot_be_embedded_is_still_a_text():
    def fails(transcript):
        raise ValueError("too long")

    pool = AsrPool([Says()], fails, language=None)
    text = await pool.submit(SAMPLES).result
    assert (text.transcript.text, text.embedding) == ("words", None)
    pool.close()


async def test_counts_what_waits_is_busy_and_was_cancelled():
    transcriber = Says()
    transcriber.gate.clear()
    pool = AsrPool([transcriber], embed, language=None)
    first, second, third = (pool.submit(SAMPLES) for _ in range(3))
    await until(lambda: first.begun)
    assert not second.begun
    second.cancel()
    await until(lambda: pool.statistics().cancelled == 1)
    statistics = pool.statistics()
    assert (statistics.busy, statistics.waiting, statistics.calls) == (1, 1, 1)
    transcriber.gate.set()
    await third.result
    statistics = pool.statistics()
    assert (statistics.busy, statistics.waiting, statistics.calls) == (0, 0, 2)
    pool.close()
    assert transcriber.closed


async def test_works_on_as_many_utterances_as_there_are_transcribers():
    transcribers = [Says(), Says()]
    for one in transcribers:
        one.gate.clear()
    pool = AsrPool(transcribers, embed, language=None)
    pending = [pool.submit(SAMPLES) for _ in range(3)]
    await until(lambda: pool.statistics().busy == 2)
    for one in transcribers:
        one.gate.set()
    await asyncio.gather(*(one.result for one in pending))
    pool.close()


class Drafts(Says):
    """A transcriber that makes drafts of its own."""

    def draft(self, samples, *, language):
        return Transcript("word", "ok", language)


async def test_drafts_are_made_with_less_work_where_the_transcriber_can_and_not_embedded():
    for transcriber, text in ((Says(), "words"), (Drafts(), "word")):
        pool = AsrPool([transcriber], embed, language="en")
        draft = await pool.submit_draft(SAMPLES).result
        assert (draft.transcript.text, draft.embedding) == (text, None)
        pool.close()


class TakesTrouble(Says):
    """A transcriber that can do better, and less."""

    def transcribe_steered(self, samples, *, language, thorough, unwanted):
        self.gate.wait(10)
        if unwanted():
            self.status = "saved"
        return Transcript("better words" if thorough else "words", "ok", language)


async def test_work_under_way_learns_that_its_text_is_not_wanted_any_more():
    embedded = []
    transcriber = TakesTrouble()
    transcriber.gate.clear()
    pool = AsrPool([transcriber], embedded.append, language="en")
    unwanted = pool.submit(SAMPLES)
    await until(lambda: unwanted.begun)
    unwanted.cancel()
    transcriber.gate.set()
    await until(lambda: pool.free)
    assert (transcriber.status, embedded) == ("saved", [])
    wanted = await pool.submit(SAMPLES).result
    assert embedded == [wanted.transcript]
    pool.close()


async def test_more_trouble_is_taken_on_demand_where_the_transcriber_can():
    for transcriber, text in ((Says(), "words"), (TakesTrouble(), "better words")):
        pool = AsrPool([transcriber], embed, language="en")
        assert (await pool.submit(SAMPLES).result).transcript.text == "words"
        thorough = await pool.submit(SAMPLES, thorough=True).result
        assert thorough.transcript.text == text
        assert thorough.embedding is not None
        pool.close()


async def test_is_free_while_a_worker_has_nothing_to_do():
    transcriber = Says()
    transcriber.gate.clear()
    pool = AsrPool([transcriber], embed, language=None)
    assert pool.free
    pending = pool.submit(SAMPLES)
    assert not pool.free
    transcriber.gate.set()
    await pending.result
    await until(lambda: pool.free)
    pool.close()

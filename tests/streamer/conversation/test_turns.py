"""Utterances are classified in the context of those before them, with the text that came in time."""

import asyncio

import pytest
import torch

from streamer.conversation.turns import Turns
from streamer.transcription import Transcript
from streamer.transcription.ahead import EmbeddedTranscript
from streamer_models.memory import ConversationState

AUDIO = torch.ones(4)


class Runtime:
    """Gives windows back instead of predictions."""

    def __init__(self, text=None):
        self.asked = []
        self.text = text

    def new_state(self):
        return ConversationState(3)

    def classify(self, window, *, live, may_wait=False):
        self.asked.append((live, may_wait))
        return window

    async def embed_text(self, transcript):
        return self.text


def text(status="ok", embedding=None):
    return EmbeddedTranscript(Transcript("words", status), embedding)


def test_the_window_holds_the_utterances_before():
    turns = Turns(Runtime(), live=False)
    numbers = [turns.add(speaker, AUDIO * speaker) for speaker in (0, 1, 0, 1)]
    assert numbers == [0, 1, 2, 3]
    assert [u.speaker for u in turns.classify(1)] == [0, 1]
    assert [u.speaker for u in turns.classify(3)] == [1, 0, 1]


def test_an_unfinished_utterance_leaves_no_trace():
    runtime = Runtime()
    turns = Turns(runtime, live=True)
    turns.add(0, AUDIO)
    assert [u.speaker for u in turns.classify_unfinished(1, AUDIO)] == [0, 1]
    assert turns.add(0, AUDIO) == 1
    assert runtime.asked == [(True, True)]


def test_the_speakers_of_one_channel_are_others_in_the_context():
    turns = Turns(Runtime(), live=False)
    numbers = [turns.add(0, AUDIO, speaker=name) for name in ("mono/1", "mono/2", "mono/1")]
    assert [u.speaker for u in turns.classify(numbers[-1])] == [0, 1, 0]


class Promises(Runtime):
    """Gives futures of windows."""

    def classify(self, window, *, live, may_wait=False):
        super().classify(window, live=live, may_wait=may_wait)
        return asyncio.get_running_loop().create_future()


async def test_an_estimate_is_classified_once_while_nothing_changes():
    runtime = Promises()
    turns = Turns(runtime, live=True)
    first = turns.classify_unfinished(0, AUDIO)
    assert turns.classify_unfinished(0, AUDIO) is first
    first.set_result("neutral")
    assert turns.classify_unfinished(0, AUDIO.clone(), (0, 9)) is first
    assert len(runtime.asked) == 1
    assert turns.classify_unfinished(1, AUDIO) is not first
    assert turns.classify_unfinished(0, AUDIO * 2) is not first
    assert turns.classify_unfinished(0, AUDIO[:2]) is not first
    assert turns.classify_unfinished(0, AUDIO, speaker="mono/1") is not first


async def test_an_estimate_is_classified_again_in_another_context():
    turns = Turns(Promises(), live=True)
    before = turns.classify_unfinished(0, AUDIO)
    number = turns.add(1, AUDIO)
    after = turns.classify_unfinished(0, AUDIO)
    assert after is not before
    assert await turns.add_text(number, text(embedding=AUDIO))
    assert turns.classify_unfinished(0, AUDIO) is not after


@pytest.mark.parametrize("fail", [lambda f: f.cancel(), lambda f: f.set_exception(ValueError())])
async def test_an_estimate_whose_classification_failed_is_classified_again(fail):
    turns = Turns(Promises(), live=True)
    before = turns.classify_unfinished(0, AUDIO)
    fail(before)
    assert turns.classify_unfinished(0, AUDIO) is not before


async def test_adds_the_text_that_was_embedded_ahead():
    turns = Turns(Runtime(), live=False)
    number = turns.add(0, AUDIO)
    assert await turns.add_text(number, text(embedding=AUDIO * 2))
    assert turns.classify(number)[-1].modalities == ("audio", "text")


async def test_embeds_a_text_that_was_not():
    turns = Turns(Runtime(text=AUDIO), live=False)
    number = turns.add(0, AUDIO)
    assert await turns.add_text(number, text())
    assert torch.equal(turns.classify(number)[-1].text, AUDIO)


async def test_adds_no_text_that_is_missing_or_unreadable():
    turns = Turns(Runtime(text=None), live=False)
    number = turns.add(0, AUDIO)
    assert not await turns.add_text(number, text("rejected"))
    assert not await turns.add_text(number, text())
    assert turns.classify(number)[-1].modalities == ("audio",)

"""Judgements of a replay are the same to the last bit in any company; those of all agree with one alone."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from streamer.runtime.classification import BatchingClassifier
from streamer_models.bundle import Bundle
from streamer_models.memory import ConversationState, UtteranceEmbedding


@pytest.fixture(scope="module")
def judge(random_bundle):
    return Bundle.load(random_bundle).classifier(0.5)


@pytest.fixture(scope="module")
def windows(judge):
    """WindowBatch of two conversations, from their first utterance on."""
    random = torch.Generator().manual_seed(0)
    made = []
    for conversation in range(2):
        state = judge.new_state()
        for number in range(state.size + 4):
            text = torch.randn(100, generator=random) if (number + conversation) % 3 else None
            audio = torch.randn(100, generator=random)
            made.append(
                state.window(state.add(UtteranceEmbedding(number % 2, audio=audio, text=text)))
            )
    return made


def judged(judge, windows, *, live=False, at_once=None, threads=1):
    """What comes of windows that are submitted so many at a time."""

    async def scenario():
        with ThreadPoolExecutor(threads) as pool:
            judging = BatchingClassifier(judge, pool, threads)
            step = at_once or len(windows)
            results = []
            for first in range(0, len(windows), step):
                some = [judging.submit(w, live=live) for w in windows[first : first + step]]
                results += await asyncio.gather(*some, return_exceptions=True)
            return results

    return asyncio.run(scenario())


def test_a_replay_is_judged_the_same_to_the_last_bit_in_any_company(judge, windows):
    alone = judged(judge, windows, at_once=1)
    for at_once in (2, 3, 7, len(windows)):
        assert judged(judge, windows, at_once=at_once) == alone
    assert judged(judge, windows[::-1])[::-1] == alone
    assert judged(judge, windows, threads=3) == alone


@pytest.mark.parametrize("live", [False, True])
def test_all_agree_with_the_plain_judgement_of_each_alone(judge, windows, live):
    for window, judgement in zip(windows, judged(judge, windows, live=live), strict=True):
        (plain,) = judge([window])
        assert judgement.label == plain.label
        assert judgement.modalities == plain.modalities
        assert judgement.probabilities == pytest.approx(plain.probabilities, abs=1e-6)


@pytest.mark.parametrize("live", [False, True])
def test_a_window_that_cannot_be_judged_does_not_touch_the_others(judge, windows, live):
    too_long = tuple(ConversationState(99).window_with(windows[0][0]) * 99)
    results = judged(judge, [*windows[:3], too_long, *windows[3:6]], live=live)
    assert isinstance(results[3], ValueError)
    for result, window in zip([*results[:3], *results[4:]], windows[:6], strict=True):
        assert result.probabilities == pytest.approx(judge([window])[0].probabilities, abs=1e-6)

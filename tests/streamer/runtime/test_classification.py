"""Predictions of a replay have the same bits in any batch; all agree with those of each window alone."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from streamer.runtime.classification import BatchingClassifier
from streamer_models.bundle import Bundle
from streamer_models.memory import ConversationState, UtteranceEmbedding


@pytest.fixture(scope="module")
def classifier(random_bundle):
    return Bundle.load(random_bundle).classifier(0.5)


@pytest.fixture(scope="module")
def windows(classifier):
    """WindowBatch of two conversations, from their first utterance on."""
    random = torch.Generator().manual_seed(0)
    made = []
    for conversation in range(2):
        state = classifier.new_state()
        for number in range(state.size + 4):
            text = torch.randn(100, generator=random) if (number + conversation) % 3 else None
            audio = torch.randn(100, generator=random)
            made.append(
                state.window(state.add(UtteranceEmbedding(number % 2, audio=audio, text=text)))
            )
    return made


def classified(classifier, windows, *, live=False, at_once=None, threads=1):
    """What comes of windows that are submitted so many at a time."""

    async def scenario():
        with ThreadPoolExecutor(threads) as pool:
            batching = BatchingClassifier(classifier, pool, threads)
            step = at_once or len(windows)
            results = []
            for first in range(0, len(windows), step):
                some = [batching.submit(w, live=live) for w in windows[first : first + step]]
                results += await asyncio.gather(*some, return_exceptions=True)
            return results

    return asyncio.run(scenario())


def test_replayed_windows_get_the_same_bits_in_any_batch(classifier, windows):
    alone = classified(classifier, windows, at_once=1)
    for at_once in (2, 3, 7, len(windows)):
        assert classified(classifier, windows, at_once=at_once) == alone
    assert classified(classifier, windows[::-1])[::-1] == alone
    assert classified(classifier, windows, threads=3) == alone


@pytest.mark.parametrize("live", [False, True])
def test_batches_agree_with_each_window_alone(classifier, windows, live):
    for window, prediction in zip(windows, classified(classifier, windows, live=live), strict=True):
        (plain,) = classifier([window])
        assert prediction.label == plain.label
        assert prediction.modalities == plain.modalities
        assert prediction.probabilities == pytest.approx(plain.probabilities, abs=1e-6)


@pytest.mark.parametrize("live", [False, True])
def test_a_window_that_fails_does_not_affect_the_others(classifier, windows, live):
    too_long = tuple(ConversationState(99).window_with(windows[0][0]) * 99)
    results = classified(classifier, [*windows[:3], too_long, *windows[3:6]], live=live)
    assert isinstance(results[3], ValueError)
    for result, window in zip([*results[:3], *results[4:]], windows[:6], strict=True):
        assert result.probabilities == pytest.approx(
            classifier([window])[0].probabilities, abs=1e-6
        )

"""Scores of the fast form equal those of the plain model, for any modalities and speakers."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models.bundle import Bundle, find_bundle
from streamer_models.context.fusion import FusionConfig
from streamer_models.fast.dutta2022 import FastDutta2022
from streamer_models.windows import WindowBatch
from tests.models.tiny_bundle import make_model

PRE_NORM = FusionConfig(width=24, heads=4, layers=2, feed_forward=48, norm_first=True)


@pytest.fixture(scope="module")
def models():
    return {
        "tiny": make_model(),
        "no speakers": make_model(speaker=False),
        "pre-norm": make_model(fusion=PRE_NORM),
        "shipped": Bundle.load(find_bundle("streamer-en-1")).model,
    }


@pytest.fixture(scope="module")
def networks(models):
    return {name: FastDutta2022(model) for name, model in models.items()}


def windows(lengths, seed):
    g = torch.Generator().manual_seed(seed)
    shape = len(lengths), max(lengths)
    return WindowBatch(
        audio=torch.randn(*shape, 100, generator=g),
        text=torch.randn(*shape, 100, generator=g),
        has_audio=torch.rand(shape, generator=g) > 0.3,
        has_text=torch.rand(shape, generator=g) > 0.3,
        same_speaker=torch.rand(shape, generator=g) > 0.5,
        mask=torch.arange(shape[1]) < torch.tensor(lengths)[:, None],
    )


@pytest.mark.parametrize("name", ["tiny", "no speakers", "pre-norm", "shipped"])
@given(lengths=st.lists(st.integers(1, 16), min_size=1, max_size=9), seed=st.integers(0, 999))
@settings(max_examples=15, deadline=None)
def test_matches_the_plain_model(models, networks, name, lengths, seed):
    batch = windows(lengths, seed)
    with torch.inference_mode():
        expected = models[name].last(batch)
    torch.testing.assert_close(networks[name].score(batch).logits, expected, atol=1e-5, rtol=1e-5)


@given(lengths=st.lists(st.integers(1, 16), min_size=2, max_size=9), seed=st.integers(0, 999))
@settings(max_examples=15, deadline=None)
def test_batch_equals_each_window_alone(networks, lengths, seed):
    batch = windows(lengths, seed)
    together = networks["shipped"].score(batch).logits
    for row, length in enumerate(lengths):
        alone = WindowBatch(
            *(getattr(batch, name)[row : row + 1, :length] for name in WindowBatch.__slots__)
        )
        torch.testing.assert_close(
            networks["shipped"].score(alone).logits[0], together[row], atol=1e-5, rtol=1e-5
        )

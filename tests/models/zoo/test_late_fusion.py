"""Late fusion: each modality by itself, both together, and the past."""

from dataclasses import fields, replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models.memory import UtteranceEmbedding
from streamer_models.windows import Dialogue
from streamer_models.zoo.late_fusion import LateFusion, LateFusionConfig
from tests.models.encoders.test_whisper import TINY
from tests.models.tiny_bundle import TEXT


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(1)
    config = LateFusionConfig(audio=TINY, text=TEXT, window=4, dimensions=("valence", "arousal"))
    model = LateFusion(config).eval().requires_grad_(requires_grad=False)
    torch.nn.init.normal_(model.fusion.past.weight)
    torch.nn.init.normal_(model.fusion.bias)
    return model


def dialogue(n, seed=0):
    g = torch.Generator().manual_seed(seed)
    return Dialogue(
        audio=torch.randn(n, 100, generator=g),
        text=torch.randn(n, 100, generator=g),
        has_audio=torch.rand(n, generator=g) > 0.3,
        has_text=torch.rand(n, generator=g) > 0.3,
        speaker=torch.randint(0, 2, (n,), generator=g),
    )


def cut(d, start, stop):
    return Dialogue(*(getattr(d, f.name)[start:stop].clone() for f in fields(d)))


@given(n=st.integers(1, 9), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_scores_each_utterance_by_its_window_alone(model, n, seed):
    d = dialogue(n, seed)
    together = model.score(d.windows(4))
    for end in range(n):
        alone = model.score(cut(d, max(0, end - 3), end + 1).windows(4))
        assert torch.allclose(together.logits[end], alone.logits[-1], atol=1e-5)
        assert torch.allclose(together.dimensions[end], alone.dimensions[-1], atol=1e-5)


def test_scores_a_modality_alone_as_its_own_classifier_does(model):
    d = dialogue(1)
    yes, no = torch.ones(1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    heard = model.score(replace(d, has_audio=yes, has_text=no).windows(4)).logits
    read = model.score(replace(d, has_audio=no, has_text=yes).windows(4)).logits
    bias = model.fusion.bias
    assert torch.allclose(heard, model.audio_scores(d.audio) + bias[0], atol=1e-5)
    assert torch.allclose(read, model.text_scores(d.text) + bias[1], atol=1e-5)


def test_ignores_embeddings_of_modalities_that_are_missing(model):
    d = dialogue(6, 3)
    other = replace(d, audio=torch.where(d.has_audio[:, None], d.audio, 9.0))
    assert torch.equal(model.score(d.windows(4)).logits, model.score(other.windows(4)).logits)
    assert torch.equal(
        model.score(d.windows(4)).dimensions, model.score(other.windows(4)).dimensions
    )


def test_distinguishes_the_past_of_the_same_speaker_from_that_of_others(model):
    d = replace(dialogue(3), has_audio=torch.ones(3, dtype=torch.bool))
    same = replace(d, speaker=torch.tensor([0, 0, 0]))
    other = replace(d, speaker=torch.tensor([1, 1, 0]))
    logits = [model.score(each.windows(4)).logits[-1] for each in (same, other)]
    assert not torch.allclose(*logits)


def test_classifies_windows_of_a_stream(model):
    d = dialogue(3, 5)
    window = tuple(UtteranceEmbedding(int(d.speaker[i]), d.audio[i], d.text[i]) for i in range(3))
    everything = torch.ones(3, dtype=torch.bool)
    whole = replace(d, has_audio=everything, has_text=everything)
    scores = model.classify([window])
    assert torch.allclose(scores.logits[0], model.score(whole.windows(4)).logits[-1], atol=1e-5)
    assert bool((scores.dimensions.abs() <= 1).all())

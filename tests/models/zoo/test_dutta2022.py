from dataclasses import fields

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from streamer_models.encoders.bert_gru import BertGruConfig
from streamer_models.encoders.leaf_cnn import LeafCnnConfig
from streamer_models.windows import Dialogue, WindowBatch
from streamer_models.zoo.dutta2022 import Dutta2022Config
from tests.models.tiny_bundle import make_model


def dialogue(n, seed=0, speakers=2):
    g = torch.Generator().manual_seed(seed)
    return Dialogue(
        audio=torch.randn(n, 100, generator=g),
        text=torch.randn(n, 100, generator=g),
        has_audio=torch.rand(n, generator=g) > 0.2,
        has_text=torch.rand(n, generator=g) > 0.3,
        speaker=torch.randint(0, speakers, (n,), generator=g),
    )


def cut(d, start, stop):
    return Dialogue(*(getattr(d, f.name)[start:stop].clone() for f in fields(d)))


@pytest.fixture(scope="module")
def model():
    return make_model().requires_grad_(False)


@pytest.fixture(scope="module")
def paper():
    return make_model(window=None, speaker=False).requires_grad_(False)


def test_windows_end_at_their_utterance_and_have_the_asked_size():
    d = dialogue(7)
    windows = d.windows(3)
    assert windows.mask.sum(1).tolist() == [1, 2, 3, 3, 3, 3, 3]
    for end in range(7):
        inside = windows.mask[end]
        place = slice(max(0, end - 2), end + 1)
        assert torch.equal(windows.audio[end][inside], d.audio[place])
        assert torch.equal(windows.text[end][inside], d.text[place])
        assert torch.equal(windows.has_audio[end][inside], d.has_audio[place])
        assert torch.equal(windows.has_text[end][inside], d.has_text[place])
        assert torch.equal(windows.same_speaker[end][inside], d.speaker[place] == d.speaker[end])


@given(n=st.integers(1, 12), seed=st.integers(0, 999))
@settings(max_examples=25, deadline=None)
def test_windows_of_a_dialogue_equal_each_window_alone(model, n, seed):
    d = dialogue(n, seed)
    together = model.dialogue(d)
    for end in range(n):
        part = cut(d, max(0, end - 4), end + 1)
        same = part.speaker == d.speaker[end]
        alone = WindowBatch(
            *(v[None] for v in (part.audio, part.text, part.has_audio, part.has_text, same)),
            mask=torch.ones(1, len(same), dtype=torch.bool),
        )
        torch.testing.assert_close(model.last(alone)[0], together[end], atol=1e-5, rtol=1e-5)


@given(n=st.integers(2, 12), seed=st.integers(0, 999), data=st.data())
@settings(max_examples=25, deadline=None)
def test_later_utterances_change_no_score(model, n, seed, data):
    d = dialogue(n, seed)
    at = data.draw(st.integers(1, n - 1))
    other = dialogue(n, seed + 1000)
    altered = Dialogue(
        *(torch.cat([getattr(d, f.name)[:at], getattr(other, f.name)[at:]]) for f in fields(d))
    )
    torch.testing.assert_close(
        model.dialogue(altered)[:at], model.dialogue(d)[:at], atol=1e-5, rtol=1e-5
    )


def test_earlier_utterances_count_within_the_window(model):
    d = dialogue(12)
    altered = cut(d, 0, 12)
    altered.audio[3], altered.has_audio[3] = 5.0, True
    changed = (model.dialogue(altered) - model.dialogue(d)).abs().amax(1) > 1e-4
    assert changed.nonzero()[:, 0].tolist() == [3, 4, 5, 6, 7]


def test_batches_dialogues_of_different_lengths(model):
    parts = [dialogue(n, seed=n) for n in (2, 9, 1)]
    joined = model.last(WindowBatch.joined([part.windows(5) for part in parts]))
    apart = torch.cat([model.dialogue(part) for part in parts])
    torch.testing.assert_close(joined, apart, atol=1e-5, rtol=1e-5)


def test_whole_conversation_form_uses_every_utterance(paper):
    d = dialogue(6)
    logits = paper.dialogue(d)
    assert logits.shape == (6, 4)
    altered = cut(d, 0, 6)
    altered.text[5], altered.has_text[5] = 5.0, True
    assert ((paper.dialogue(altered) - logits).abs().amax(1) > 1e-5).all()
    others = Dialogue(d.audio, d.text, d.has_audio, d.has_text, 1 - d.speaker)
    torch.testing.assert_close(paper.dialogue(others), logits)


def test_whole_conversation_form_ignores_padding(paper):
    parts = [dialogue(n, seed=n) for n in (2, 7)]
    logits = paper.every(WindowBatch.joined([part.whole() for part in parts]))
    torch.testing.assert_close(logits[0, :2], paper.dialogue(parts[0]), atol=1e-5, rtol=1e-5)


def test_gradients_reach_every_part():
    model = make_model().train()
    model.dialogue(dialogue(30)).square().sum().backward()
    for name in ("audio_context", "text_context", "fusion"):
        for parameter, value in getattr(model, name).named_parameters():
            assert value.grad is not None, parameter
            assert value.grad.abs().sum() > 0, parameter


def test_has_no_encoder_of_a_modality_left_out():
    assert make_model(text=None).text is None
    assert make_model(audio=None).audio is None


@pytest.mark.parametrize(
    "fields_",
    [
        {"audio": None, "text": None},
        {"audio": LeafCnnConfig(embedding=50)},
        {"text": BertGruConfig(embedding=50)},
        {"labels": ("a", "a")},
        {"labels": ("a",)},
        {"window": 0},
        {"window": None},
        {"windows": 3},
    ],
)
def test_refuses_inconsistent_configurations(fields_):
    with pytest.raises(ValidationError):
        Dutta2022Config(**fields_)

"""Whisper's encoder as audio encoder: what it gives, and what may not change it."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from streamer_models.encoders.whisper import (
    Whisper,
    WhisperConfig,
    at_fixed_loudness,
    encoded,
    log_mel,
    speech_frames,
)
from streamer_models.streaming import Buffered

SECOND = 16_000
TINY = WhisperConfig(
    mels=16, width=24, heads=2, layers=2, feed_forward=48, positions=200, pooled=(1, 2), hidden=16
)


def tiny():
    torch.manual_seed(2)
    encoder = Whisper(TINY).eval().requires_grad_(requires_grad=False)
    encoder.reduced_precision = False
    return encoder


@pytest.fixture(scope="module")
def encoder():
    return tiny()


@pytest.fixture(scope="module", params=["plain", "in 8 bits"])
def either(request, encoder):
    """The encoder and its fast form, which differ in rounding alone."""
    return encoder if request.param == "plain" else encoder.fast()


def speech(seconds, seed=0):
    rng = np.random.default_rng(seed)
    time = np.arange(round(seconds * SECOND)) / SECOND
    loudness = 0.1 + 0.2 * np.abs(np.sin(7 * time + seed))
    return torch.from_numpy((loudness * rng.normal(0, 0.3, len(time))).astype(np.float32))


def test_embeds_each_utterance_of_a_batch_by_its_own_samples_alone(encoder):
    waves = [speech(1.3, 1), speech(0.6, 2)]
    batch = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True, padding_value=0.7)
    lengths = torch.tensor([len(wave) for wave in waves])
    together = encoder(batch, lengths)
    assert together.shape == (2, encoder.embedding_size)
    for row, wave in zip(together, waves, strict=True):
        assert torch.equal(row, encoder(wave[None])[0])


@settings(max_examples=15, deadline=None)
@given(decibels=st.floats(-40, 12), seed=st.integers(0, 99))
def test_does_not_depend_on_loudness(encoder, decibels, seed):
    wave = speech(0.8, seed)
    louder = wave * 10 ** (decibels / 20)
    assert torch.allclose(encoder(wave[None]), encoder(louder[None]), atol=1e-4)


@settings(max_examples=10, deadline=None)
@given(end=st.integers(2_000, SECOND), seed=st.integers(0, 99))
def test_does_not_depend_on_the_future(either, end, seed):
    one, other = Buffered(either), Buffered(either)
    past, future = speech(1.0, seed)[:end].numpy(), speech(0.5, seed + 1).numpy()
    one.push(past)
    other.push(np.concatenate([past, future]))
    assert torch.equal(one.embedding(), other.embedding(end))


@pytest.mark.parametrize("samples", [0, 1, 159, 399, 401, SECOND])
def test_embeds_next_to_nothing_and_silence_to_finite_values(either, samples):
    for wave in (speech(1.0)[:samples], torch.zeros(samples)):
        assert bool(either(wave[None]).isfinite().all())


def test_takes_the_end_of_what_is_too_long(either):
    wave = speech(either.max_samples / SECOND + 0.7)
    assert torch.equal(either(wave[None]), either(wave[None, -either.max_samples :]))


def test_pools_over_speech_and_not_over_the_pauses():
    wave = torch.cat([torch.zeros(SECOND), speech(1.0), torch.zeros(SECOND)])
    speaking = speech_frames(log_mel(at_fixed_loudness(wave)))
    assert len(speaking) == 150
    assert not speaking[:49].any()
    assert speaking[51:99].float().mean() > 0.9
    assert not speaking[102:].any()


def test_computes_the_last_layer_for_speech_alone_with_the_same_result(encoder):
    wave = torch.cat([speech(0.6), torch.zeros(SECOND // 2), speech(0.4, 1)])
    layers, speaking = encoded(encoder.backbone, TINY, wave, reduced_precision=False)
    frames = encoder.voiced_frames(wave)
    assert 0 < len(frames) < len(speaking)
    torch.testing.assert_close(frames, layers[:, speaking].transpose(0, 1).flatten(1))


def test_estimates_encode_each_part_once_and_pool_them(encoder, monkeypatch):
    parts, frames = [], encoder.voiced_frames
    monkeypatch.setattr(
        encoder, "voiced_frames", lambda wave: (parts.append(len(wave)), frames(wave))[1]
    )
    wave = speech(4.0).numpy()
    stream = Buffered(encoder)
    for start in range(0, len(wave), SECOND // 2):
        stream.push(wave[start : start + SECOND // 2])
        estimate = stream.estimate()
        if start + SECOND // 2 == SECOND:
            torch.testing.assert_close(estimate, stream.embedding(), atol=1e-3, rtol=1e-3)
    assert parts == [SECOND, SECOND, 2 * SECOND]
    assert (estimate - stream.embedding()).abs().max() < 0.2
    assert torch.equal(stream.embedding(), encoder(torch.from_numpy(wave)[None])[0])


def test_bfloat16_changes_little(encoder):
    wave = speech(1.0)
    encoder.reduced_precision = True
    rough = encoder.statistics(wave)
    encoder.reduced_precision = False
    fine = encoder.statistics(wave)
    assert (rough - fine).norm() < 0.02 * fine.norm()


def test_refuses_sizes_that_do_not_fit():
    with pytest.raises(ValidationError, match="pooled must not exceed layers"):
        WhisperConfig(layers=2, pooled=(3,))
    with pytest.raises(ValidationError, match="multiple of heads"):
        WhisperConfig(width=25, heads=2)

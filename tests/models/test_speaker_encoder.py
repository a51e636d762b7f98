"""Voices as vectors: equal to the package that the weights come from, and close for one speaker."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from streamer_models import bundle
from streamer_models.bundle import BundleError
from streamer_models.speaker_encoder import (
    VoiceStream,
    load_speaker_encoder,
    load_strangers,
    mel_frames,
)

SAMPLE_RATE = 16_000


def buzz(samples, pitch=120):
    """A voice-like sound: harmonics, three syllables a second."""
    time = np.arange(samples) / SAMPLE_RATE
    tones = sum(np.sin(2 * np.pi * pitch * k * time + k * k) / k for k in range(1, 30))
    return (0.1 * tones * (1 + 0.5 * np.sin(2 * np.pi * 3 * time))).astype(np.float32)


@pytest.mark.parametrize(
    ("samples", "places", "values"),
    [
        (8_000, [0, 20, 9, 58, 89], [0.2658, 0.26361, 0.25546, 0.21606, 0.21526]),
        (25_600, [136, 121, 203, 87, 162], [0.18711, 0.17901, 0.17702, 0.16884, 0.16873]),
        (40_000, [121, 136, 87, 203, 162], [0.18866, 0.18788, 0.17563, 0.16635, 0.16621]),
    ],
)
def test_gives_the_vectors_of_resemblyzer(samples, places, values):
    voice = load_speaker_encoder().embed(buzz(samples))
    assert voice[places] == pytest.approx(values, abs=2e-5)
    assert voice.max() == pytest.approx(values[0], abs=2e-5)
    assert np.linalg.norm(voice) == pytest.approx(1, abs=1e-5)


def test_sees_the_mel_frames_of_librosa():
    frames = mel_frames(buzz(8_000))
    assert frames.shape == (51, 40)
    wanted = [1.764658928, 0.16899395, 0.055677004, 0.012685208]
    assert frames[40, [0, 5, 10, 20]] == pytest.approx(wanted, rel=1e-5)


def test_does_not_depend_on_the_level():
    encoder = load_speaker_encoder()
    sound = buzz(30_000)
    assert encoder.embed(sound) == pytest.approx(encoder.embed(0.05 * sound), abs=1e-4)


def test_tells_two_pitches_apart():
    encoder = load_speaker_encoder()
    low, again, high = (
        encoder.embed(buzz(n, hertz)) for n, hertz in ((30_000, 110), (24_000, 110), (30_000, 230))
    )
    assert low @ again > 0.9 > low @ high


@pytest.mark.parametrize("samples", [1, 160, 5_000])
def test_embeds_whatever_is_short_or_silent(samples):
    for sound in (np.zeros(samples, np.float32), buzz(samples)):
        voice = load_speaker_encoder().embed(sound)
        assert voice.shape == (256,)
        assert np.isfinite(voice).all()


def test_refuses_damaged_weights(tmp_path, monkeypatch):
    folder = tmp_path / "speaker-ge2e-1"
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"damaged")
    monkeypatch.setattr(bundle, "PRETRAINED", tmp_path)
    with pytest.raises(BundleError, match="damaged"):
        load_speaker_encoder.__wrapped__()
    (folder / "weights.safetensors").unlink()
    with pytest.raises(BundleError, match="cannot read"):
        load_speaker_encoder.__wrapped__()


def test_a_stream_gives_the_voice_of_what_was_pushed():
    sound = buzz(16_000)
    few, many = (VoiceStream(load_speaker_encoder()) for _ in range(2))
    assert few.voice() is None
    for piece in np.split(sound, [4_000, 4_100, 9_000]):
        many.push(piece)
    for piece in np.split(sound, [4_000]):
        few.push(piece)
    assert many.voice() == pytest.approx(few.voice(), abs=1e-5)


def test_the_level_of_strangers_is_a_cosine():
    strangers = load_strangers()
    voice = load_speaker_encoder().embed(buzz(30_000))
    assert 0 < strangers(voice) < 1
    assert strangers(np.full(256, 1 / 16, np.float32)) < 1


@pytest.mark.parametrize("name", ["weights.safetensors", "strangers.safetensors"])
def test_the_card_names_the_files(name):
    folder = Path(bundle.PRETRAINED) / "speaker-ge2e-1"
    content = (folder / name).read_bytes()
    assert hashlib.sha256(content).hexdigest() in (folder / "MODEL_CARD.md").read_text()

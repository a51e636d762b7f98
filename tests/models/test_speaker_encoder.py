"""Voices as vectors: equal to the network that the weights come from, and close for one speaker."""

import hashlib

import numpy as np
import pytest

from streamer_models import bundle
from streamer_models.bundle import PRETRAINED, BundleError
from streamer_models.onnx_session import session_of
from streamer_models.speaker_encoder import (
    FOLDER,
    SIZE,
    SpeakerEncoder,
    VoiceStream,
    load_speaker_encoder,
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
        (8_000, [108, 23, 166, 115, 132], [0.1842, 0.1598, 0.1577, 0.1484, 0.1458]),
        (24_000, [108, 166, 186, 67, 117], [0.1853, 0.1758, 0.1660, 0.1555, 0.1471]),
        (32_000, [108, 166, 186, 67, 117], [0.1853, 0.1698, 0.1645, 0.1593, 0.1536]),
    ],
)
def test_gives_the_vectors_of_the_published_network(samples, places, values):
    network = (PRETRAINED / FOLDER / "network.onnx").read_bytes()
    encoder = SpeakerEncoder(session_of(network), np.zeros(SIZE, np.float32))
    voice = encoder.voice(buzz(samples))
    assert voice[places] == pytest.approx(values, abs=1e-3)
    assert voice.max() == pytest.approx(values[0], abs=1e-3)
    assert np.linalg.norm(voice) == pytest.approx(1, abs=1e-5)


def test_sees_the_mel_frames_of_kaldi():
    frames = mel_frames(buzz(8_000))
    assert frames.shape == (48, 80)
    wanted = [-5.875946, -1.9933473, -2.8093302, -1.9031165]
    assert frames[40, [0, 5, 10, 20]] == pytest.approx(wanted, abs=1e-4)


def test_does_not_depend_on_the_level():
    encoder = load_speaker_encoder()
    sound = buzz(30_000)
    assert encoder.embed(sound) == pytest.approx(encoder.embed(0.05 * sound), abs=1e-4)


def test_tells_two_pitches_apart():
    encoder = load_speaker_encoder()
    low, again, high = (
        encoder.embed(buzz(n, hertz)) for n, hertz in ((30_000, 110), (24_000, 110), (30_000, 230))
    )
    assert low @ again > low @ high


@pytest.mark.parametrize("samples", [1, 160, 5_000, 70_000])
def test_embeds_whatever_is_short_long_or_silent(samples):
    for sound in (np.zeros(samples, np.float32), buzz(samples)):
        voice = load_speaker_encoder().embed(sound)
        assert voice.shape == (SIZE,)
        assert np.isfinite(voice).all()


def test_refuses_damaged_weights(tmp_path, monkeypatch):
    folder = tmp_path / FOLDER
    folder.mkdir()
    (folder / "network.onnx").write_bytes(b"damaged")
    monkeypatch.setattr(bundle, "PRETRAINED", tmp_path)
    with pytest.raises(BundleError, match="damaged"):
        load_speaker_encoder.__wrapped__()
    (folder / "network.onnx").unlink()
    with pytest.raises(BundleError, match="cannot read"):
        load_speaker_encoder.__wrapped__()


def test_a_stream_gives_the_voice_of_what_was_pushed():
    sound = buzz(16_000)
    few, many = (VoiceStream(load_speaker_encoder()) for _ in range(2))
    assert few.voice() is None
    for piece in np.split(sound, [1_000, 4_100, 9_000]):
        many.push(piece)
    for piece in np.split(sound, [4_000]):
        few.push(piece)
    assert np.array_equal(many.voice(), few.voice())


def test_a_stream_remembers_two_seconds():
    stream = VoiceStream(load_speaker_encoder())
    sound = buzz(64_000, 200)
    stream.push(buzz(16_000))
    stream.push(sound)
    assert np.array_equal(stream.voice(), load_speaker_encoder().voice(sound[-32_000:]))


@pytest.mark.parametrize("name", ["network.onnx", "middle.safetensors"])
def test_the_card_names_the_files(name):
    content = (PRETRAINED / FOLDER / name).read_bytes()
    card = (PRETRAINED / FOLDER / "MODEL_CARD.md").read_text()
    assert hashlib.sha256(content).hexdigest() in card

"""Whisper's encoder as frames: how many there are, and what may not change them."""

import pytest
import torch

from streamer_models.encoders.whisper_frames import WhisperFrames, WhisperFramesConfig
from streamer_models.streaming import Buffered
from tests.models.encoders.test_whisper import SECOND, TINY, speech

SIZES = TINY.model_dump(exclude={"encoder", "embedding", "hidden", "dropout"})


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(2)
    config = WhisperFramesConfig(**SIZES, embedding=TINY.width)
    encoder = WhisperFrames(config).eval().requires_grad_(requires_grad=False)
    encoder.reduced_precision = False
    return encoder


def test_gives_a_frame_every_tenth_of_a_second(encoder):
    frames = encoder(speech(1.5)[None])
    assert frames.shape == (1, 15, TINY.width)
    assert encoder(torch.zeros(1, 1)).shape == (1, 1, TINY.width)


def test_leaves_out_the_silence_around_speech(encoder):
    wave, silence = speech(1.0), torch.zeros(SECOND)
    padded = torch.cat([silence, wave, silence])
    assert abs(encoder(padded[None]).shape[1] - encoder(wave[None]).shape[1]) <= 1


def test_embeds_each_utterance_of_a_batch_by_its_own_samples_alone(encoder):
    waves = [speech(1.3, 1), speech(0.6, 2)]
    batch = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True, padding_value=0.7)
    together = encoder(batch, torch.tensor([len(wave) for wave in waves]))
    for row, wave in zip(together, waves, strict=True):
        alone = encoder(wave[None])[0]
        assert torch.equal(row[: len(alone)], alone)
        assert not row[len(alone) :].any()


def test_standardises_by_the_values_of_the_training(encoder):
    wave = speech(0.7)
    raw = encoder.frames(wave)
    encoder.mean.fill_(0.5)
    encoder.deviation.fill_(2.0)
    try:
        torch.testing.assert_close(encoder(wave[None])[0], (raw - 0.5) / 2)
    finally:
        encoder.mean.fill_(0.0)
        encoder.deviation.fill_(1.0)


def test_streams_with_the_frames_of_the_whole(encoder):
    wave = speech(1.1, 3)
    stream = Buffered(encoder)
    for part in wave.split(3_000):
        stream.push(part.numpy())
    assert torch.equal(stream.embedding(), encoder(wave[None])[0])

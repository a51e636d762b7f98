"""The speaker encoder as frames: the same voice as from samples."""

import hashlib

import pytest
import torch

from streamer_models.bundle import PRETRAINED
from streamer_models.encoders.ge2e import gain, load_ge2e, mel_frames
from streamer_models.encoders.speaker_frames import SpeakerFrames, SpeakerFramesConfig


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return SpeakerFrames(SpeakerFramesConfig(joined=1)).eval().requires_grad_(requires_grad=False)


def wave(samples):
    return 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(samples))


def test_embeds_each_utterance_of_a_batch_by_its_own_samples_alone(encoder):
    padded = torch.stack([wave(8_000), torch.nn.functional.pad(wave(5_000), (0, 3_000))])
    both = encoder(padded, torch.tensor([8_000, 5_000]))
    alone = encoder(wave(5_000)[None])
    torch.testing.assert_close(both[1, : alone.shape[1]], alone[0])
    assert (both[1, alone.shape[1] :] == 0).all()


def test_the_voice_after_the_last_frame_is_that_of_the_network(encoder):
    samples = wave(16_000).numpy()
    power = torch.from_numpy(mel_frames(samples) * gain(samples))
    voice = encoder.network(power[None])[0].numpy()
    found = encoder.voice(encoder.frames(torch.from_numpy(samples)))
    assert float(found @ voice) == pytest.approx(1, abs=1e-3)


def test_a_frame_is_the_mean_of_some_states(encoder):
    joined = SpeakerFrames(SpeakerFramesConfig(joined=10))
    joined.network.load_state_dict(encoder.network.state_dict())
    fine, coarse = encoder.frames(wave(4_000)), joined.frames(wave(4_000))
    torch.testing.assert_close(coarse[0], fine[:10].mean(dim=0))
    assert len(coarse) == -(-len(fine) // 10)


def test_the_card_names_the_weights():
    load_ge2e()
    folder = PRETRAINED / "speaker-ge2e-1"
    content = (folder / "weights.safetensors").read_bytes()
    assert hashlib.sha256(content).hexdigest() in (folder / "MODEL_CARD.md").read_text()

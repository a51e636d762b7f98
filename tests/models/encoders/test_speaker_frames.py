"""The speaker encoder as frames: the same voice as from samples."""

import numpy as np
import pytest
import torch

from streamer_models.encoders.speaker_frames import SpeakerFrames, SpeakerFramesConfig
from streamer_models.speaker_encoder import VoiceStream


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


def test_the_voice_after_the_last_frame_is_that_of_the_stream(encoder):
    samples = wave(16_000)
    stream = VoiceStream(encoder.network)
    stream.push(np.pad(samples.numpy(), 200))
    found = encoder.voice(encoder.frames(samples))
    assert float(found @ stream.voice()) == pytest.approx(1, abs=1e-3)


def test_a_frame_is_the_mean_of_some_states(encoder):
    joined = SpeakerFrames(SpeakerFramesConfig(joined=10))
    joined.network.load_state_dict(encoder.network.state_dict())
    fine, coarse = encoder.frames(wave(4_000)), joined.frames(wave(4_000))
    torch.testing.assert_close(coarse[0], fine[:10].mean(dim=0))
    assert len(coarse) == -(-len(fine) // 10)

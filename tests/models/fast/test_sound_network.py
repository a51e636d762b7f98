"""The fast form of the sound network gives what the network itself does, piece by piece."""

import numpy as np
import torch

from streamer_models.encoders.log_mel import mel_power
from streamer_models.fast.sound_network import FastSoundNetwork
from streamer_models.sound_network import BANDS, CLASSES, SoundNetwork

BEFORE, BLOCK = 240, 15_360


@torch.no_grad()
def trained() -> SoundNetwork:
    """A network whose norms have seen something."""
    generator = torch.Generator().manual_seed(1)
    network = SoundNetwork()
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        drawn = torch.rand(tensor.shape, generator=generator) - 0.5
        tensor.copy_(drawn + 1 if name.endswith("running_var") else drawn)
    return network.eval()


@torch.no_grad()
def test_matches_the_network_block_by_block():
    network = trained()
    fast = FastSoundNetwork(network)
    samples = np.random.default_rng(0).normal(0, 0.05, BEFORE + 3 * BLOCK).astype(np.float32)
    state, fast_state = network.begin(), fast.begin()
    for first in range(0, 3 * BLOCK, BLOCK):
        block = samples[first : first + BEFORE + BLOCK]
        power = torch.from_numpy(mel_power(block, BANDS).T)
        logits, state = network(power[None], state)
        expected = logits[0, :, : len(CLASSES)].sigmoid()
        scores, fast_state = fast.score(block, fast_state)
        torch.testing.assert_close(torch.from_numpy(scores), expected, atol=1e-5, rtol=1e-4)

"""The form of the speaker network that is exported: equal to the plain one."""

import pytest
import torch

from tools.training.tasks.speaker_inference import SpeakerInference
from tools.training.tasks.speaker_network import BANDS, SpeakerNetwork


@pytest.fixture(scope="module")
def network():
    """With norms as after training: no scale is 1, some are negative or nothing."""
    torch.manual_seed(0)
    network = SpeakerNetwork().eval()
    for norm in network.modules():
        if isinstance(norm, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(norm.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(norm.running_var, 0.5, 2)
            if norm.affine:
                torch.nn.init.uniform_(norm.weight, -0.2, 1.2)
                norm.weight.data[0] = 0
                torch.nn.init.uniform_(norm.bias, -0.3, 0.3)
    return network


@pytest.mark.parametrize("frames", [18, 67, 200])
def test_gives_what_the_network_gives(network, frames):
    window = torch.randn(1, frames, BANDS)
    with torch.inference_mode():
        wanted, found = network(window), SpeakerInference(network)(window)
    assert found.shape == wanted.shape
    assert torch.nn.functional.cosine_similarity(found, wanted) > 1 - 1e-5
    assert torch.allclose(found, wanted, rtol=1e-3, atol=1e-3 * float(wanted.abs().max()))

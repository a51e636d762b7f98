import subprocess
import sys

import torch

from streamer_models.shapes import shapes_only
from streamer_models.zoo.dutta2022 import Dutta2022
from tests.models.tiny_bundle import make_bundle

LOADS = """
import sys
from streamer_models.bundle import Bundle, find_bundle
Bundle.load(find_bundle("streamer-en-1"))
print("torch._dynamo" in sys.modules)
"""


def test_shapes_match_networks_with_weights():
    model = make_bundle().model
    with shapes_only():
        shapes = Dutta2022(model.config)

    assert {name: (t.shape, t.dtype) for name, t in shapes.state_dict().items()} == {
        name: (t.shape, t.dtype) for name, t in model.state_dict().items()
    }


def test_initialises_networks_made_afterwards():
    with shapes_only():
        torch.nn.Linear(3, 3)

    assert torch.nn.Linear(3, 3).weight.device.type == "cpu"
    assert torch.nn.Embedding(3, 3).weight.std() > 0


def test_loads_a_bundle_without_torchs_compiler():
    done = subprocess.run([sys.executable, "-c", LOADS], capture_output=True, text=True, check=True)

    assert done.stdout.strip() == "False"

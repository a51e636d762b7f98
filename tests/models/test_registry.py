"""Encoders of other packages: found by entry point, saved and loaded like our own."""

import sys
from typing import ClassVar, Literal

import pytest
import torch

from streamer_models import registry
from streamer_models.bundle import Bundle
from streamer_models.config import EncoderConfig
from streamer_models.contract import UtteranceEmbedding
from streamer_models.heads.calibration import Calibration
from streamer_models.zoo.dutta2022 import Dutta2022, Dutta2022Config

ENTRY_POINTS = """\
[streamer_models.audio_encoders]
loudness = tests.models.test_registry:Loudness
broken = tests.models.test_registry:Nothing
"""


class LoudnessConfig(EncoderConfig):
    encoder: Literal["loudness"] = "loudness"


class Loudness(torch.nn.Module):
    """The level of an utterance, through a constant that is not in the state dict, in each dimension."""

    config_class: ClassVar = LoudnessConfig
    receptive_field, max_samples = 1, 160_000

    def __init__(self, config):
        super().__init__()
        self.embedding_size = config.embedding
        self.scale = torch.nn.Parameter(torch.ones(config.embedding))
        self.register_buffer("floor", torch.tensor([1e-4]), persistent=False)

    def forward(self, wave, lengths=None):
        return (wave.square().mean(1, keepdim=True) + self.floor).log() * self.scale


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """A package on the path that announces the encoder."""
    about = tmp_path / "other-1.0.dist-info"
    about.mkdir()
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text(ENTRY_POINTS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(sys.modules, "tests.models.test_registry", sys.modules[__name__])


def test_encoder_of_another_package_runs_from_a_bundle(installed, tmp_path):
    config = Dutta2022Config(audio=LoudnessConfig(), text=None, window=4)
    model = Dutta2022(config).eval()
    Bundle("other", "1", model, Calibration(), 0.3, None, "A card.").save(tmp_path / "b")
    bundle = Bundle.load(tmp_path / "b")
    stream = bundle.audio_streams()()
    stream.push(torch.full((8000,), 0.1).numpy())
    embedding = stream.embedding()
    torch.testing.assert_close(embedding, torch.full((100,), 0.01 + 1e-4).log())
    (prediction,) = bundle.classifier()([(UtteranceEmbedding(0, embedding),)])
    assert prediction.modalities == ("audio",)


def test_names_include_those_of_other_packages(installed):
    assert {"leaf_cnn", "loudness"} <= set(registry.AUDIO_ENCODERS.names())


def test_explains_unknown_and_broken_names(installed):
    with pytest.raises(ValueError, match=r"no audio encoder 'nonsense'; there are .*leaf_cnn"):
        registry.AUDIO_ENCODERS.find("nonsense")
    with pytest.raises(ValueError, match="'broken' cannot be loaded"):
        registry.AUDIO_ENCODERS.find("broken")


@pytest.mark.parametrize(
    "names", [registry.AUDIO_ENCODERS, registry.TEXT_ENCODERS, registry.SYSTEMS]
)
def test_every_name_has_a_class_with_a_configuration(names):
    for name in names.names():
        assert names.find(name).config_class

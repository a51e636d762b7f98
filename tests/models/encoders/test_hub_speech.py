"""Encoders of the hub, on tiny random ones: the same code as for the published weights."""

import hashlib

import pytest
import safetensors.torch
import torch

from streamer_models.bundle import Bundle
from streamer_models.contract import UtteranceEmbedding
from streamer_models.encoders.hub_speech import HubSpeech, HubSpeechConfig
from streamer_models.heads.calibration import Calibration
from streamer_models.manifest import Backbone
from streamer_models.zoo.krishna2021 import Krishna2021, Krishna2021Config

SIZES = {
    "embedding": 32,
    "layers": 2,
    "heads": 4,
    "feed_forward": 32,
    "convolution": 8,
    "last_layers": 2,
}


@pytest.mark.parametrize("architecture", ["wav2vec2", "hubert"])
def test_gives_a_vector_every_20_ms_whatever_the_batch(architecture):
    torch.manual_seed(0)
    encoder = HubSpeech(HubSpeechConfig(architecture=architecture, **SIZES)).eval()
    wave = 0.1 * torch.randn(2, 16_000)
    with torch.inference_mode():
        both = encoder(wave, torch.tensor([16_000, 4_000]))
        alone = encoder(wave[1:, :4_000])
    assert both.shape == (2, 49, 32)
    torch.testing.assert_close(both[1, : alone.shape[1]], alone[0])
    assert (both[1, alone.shape[1] :] == 0).all()
    assert encoder(wave[:, :10]).shape[1] == 1


def test_runs_from_a_bundle_with_its_weights_outside(tmp_path, monkeypatch):
    torch.manual_seed(0)
    config = Krishna2021Config(audio=HubSpeechConfig(**SIZES), text=None, width=16, heads=4)
    model = Krishna2021(config).eval()
    inside = {
        f"wav2vec2.{name}": tensor.contiguous()
        for name, tensor in model.audio.model.state_dict().items()
    }
    content = safetensors.torch.save({**inside, "quantizer.codevectors": torch.zeros(2)})
    monkeypatch.setenv("STREAMER_BACKBONES", str(tmp_path / "hub"))
    (tmp_path / "hub").mkdir()
    (tmp_path / "hub" / "model.safetensors").write_bytes(content)
    backbone = Backbone(
        prefix="audio.model.",
        within="wav2vec2.",
        name="someone/tiny-wav2vec2",
        bytes=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    bundle = Bundle("k", "1", model, Calibration(), 0.3, None, "A card.", backbones=(backbone,))
    bundle.save(tmp_path / "bundle")
    loaded = Bundle.load(tmp_path / "bundle")
    stream = loaded.audio_streams()()
    stream.push(0.1 * torch.randn(8_000).numpy())
    frames = stream.embedding()
    assert frames.shape == (24, 32)
    (prediction,) = loaded.classifier()([(UtteranceEmbedding(0, frames),)])
    assert prediction.label in loaded.labels
    for name, tensor in model.audio.state_dict().items():
        assert torch.equal(loaded.model.audio.state_dict()[name], tensor)

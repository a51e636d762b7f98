"""The engine: where its models run."""

import pytest
import torch

from streamer.engine import Engine
from streamer.errors import UserError
from streamer.settings.tree import Asr, Emotion, Settings


def settings(bundle, device):
    return Settings(asr=Asr(backend="none"), emotion=Emotion(bundle=str(bundle), device=device))


def test_the_emotion_model_runs_on_the_cpu_unless_asked_otherwise(random_bundle):
    with Engine.load(settings(random_bundle, Emotion().device), print) as engine:
        assert {p.device.type for p in engine.bundle.model.parameters()} == {"cpu"}


def test_a_gpu_that_is_not_there_is_told(random_bundle, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UserError, match=r"emotion\.device cuda: torch finds no GPU"):
        Engine.load(settings(random_bundle, "cuda"), print)


def test_the_model_goes_to_the_gpu_that_is_there(random_bundle, monkeypatch):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.nn.Module, "to", lambda self, device: asked.append(device) or self)
    with Engine.load(settings(random_bundle, "cuda"), print):
        assert asked == ["cuda"]

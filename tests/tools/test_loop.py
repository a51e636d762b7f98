"""The optimisation loop: it minimises, and an interrupted run resumes to the same weights."""

import pytest
import torch
from torch import nn

from tests.tools.interruption import KilledError, kill_after
from tools.training.loop import StagePace, fit, triangle, warm_cosine

PACE = StagePace(epochs=12, batch=4, learning_rate=0.1, weight_decay=0.0)
X = torch.randn(40, 3, generator=torch.Generator().manual_seed(0))
Y = X @ torch.tensor([1.0, -2.0, 0.5])


def train(folder, *, seed=1, identity=None):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Dropout(0.1), nn.Linear(3, 1))

    def loss(places):
        return (network(X[places])[:, 0] - Y[places]).square().mean()

    fit(
        network,
        range(len(X)),
        loss,
        PACE,
        kept=folder / "progress.safetensors",
        identity=identity or {"seed": seed},
        seed=seed,
        title="line",
    )
    return network[1].weight.detach()


def test_minimises_the_loss(tmp_path):
    weight = train(tmp_path)
    torch.testing.assert_close(weight, torch.tensor([[1.0, -2.0, 0.5]]), atol=0.5, rtol=0)


def test_resumes_an_interrupted_run_to_equal_weights(tmp_path, monkeypatch):
    whole = train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(KilledError):
            train(tmp_path / "cut")
    assert torch.equal(train(tmp_path / "cut"), whole)
    assert not list((tmp_path / "cut").iterdir())


def test_replaces_the_state_of_another_run(tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(KilledError):
            train(tmp_path / "cut", seed=2)
    assert torch.equal(train(tmp_path / "cut"), train(tmp_path / "whole"))


@pytest.mark.parametrize("factor", [warm_cosine, triangle])
def test_learning_rates_rise_then_fall_to_nothing(factor):
    shares = torch.linspace(0, 1, 101).tolist()
    values = [factor(share) for share in shares]
    assert 0 < values[0] < 0.1
    assert max(values) == pytest.approx(1, abs=0.02)
    assert values[-1] == pytest.approx(0, abs=1e-9)
    assert values[10:] == sorted(values[10:], reverse=True)

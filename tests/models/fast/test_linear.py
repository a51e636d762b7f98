import pytest
import torch

from streamer_models.fast import linear
from streamer_models.fast.linear import PackedLinear


@pytest.mark.parametrize("rows", [1, 7, 96, 200])
@pytest.mark.parametrize("outputs", [30, 512], ids=["small", "large"])
def test_matches_nn_linear(rows, outputs):
    torch.manual_seed(0)
    layer = torch.nn.Linear(512, outputs)
    x = torch.randn(2, rows, 512)
    torch.testing.assert_close(PackedLinear.of(layer)(x), layer(x).detach(), atol=1e-5, rtol=1e-5)


def test_large_weights_are_packed_where_torch_can():
    assert linear._can_pack() == torch.backends.mkldnn.is_available()
    packed = PackedLinear.of(torch.nn.Linear(512, 512))
    assert packed._is_packed == linear._can_pack()
    assert not PackedLinear.of(torch.nn.Linear(8, 8))._is_packed


def test_matches_nn_linear_without_onednn(monkeypatch):
    def missing(*_):
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute")

    linear._can_pack.cache_clear()
    try:
        monkeypatch.setattr(linear, "_packed_linear", missing)
        layer = torch.nn.Linear(512, 512)
        x = torch.randn(3, 512)
        assert torch.equal(PackedLinear.of(layer)(x), layer(x))
    finally:
        monkeypatch.undo()
        linear._can_pack.cache_clear()

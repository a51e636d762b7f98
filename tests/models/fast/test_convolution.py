import pytest
import torch

from streamer_models.fast import convolution
from streamer_models.fast.convolution import PackedConvolution


def layer(inputs, outputs):
    generator = torch.Generator().manual_seed(inputs)
    return torch.randn(outputs, inputs, 3, 3, generator=generator), torch.randn(
        outputs, generator=generator
    )


@pytest.mark.parametrize("frames", [3, 18, 130])
@pytest.mark.parametrize(("inputs", "outputs"), [(1, 32), (32, 64), (128, 100)])
def test_matches_conv2d_and_relu(inputs, outputs, frames):
    weight, bias = layer(inputs, outputs)
    x = torch.randn(1, inputs, 7, frames)
    made = PackedConvolution(weight, bias, (7, 18))(x)
    torch.testing.assert_close(
        made, torch.nn.functional.conv2d(x, weight, bias).relu(), atol=1e-4, rtol=1e-5
    )
    assert made.is_contiguous(memory_format=torch.channels_last)


def test_large_weights_are_packed_where_torch_can():
    assert convolution._can_pack() == torch.backends.mkldnn.is_available()
    assert PackedConvolution(*layer(32, 64), (7, 18))._is_packed == convolution._can_pack()
    assert not PackedConvolution(*layer(1, 32), (7, 18))._is_packed


def test_matches_conv2d_without_onednn(monkeypatch):
    def missing(*_):
        raise AttributeError("'_OpNamespace' 'mkldnn' object has no attribute")

    convolution._can_pack.cache_clear()
    try:
        monkeypatch.setattr(convolution, "_packed_convolution", missing)
        weight, bias = layer(32, 64)
        x = torch.randn(1, 32, 7, 18)
        made = PackedConvolution(weight, bias, (7, 18))(x)
        assert torch.equal(made, torch.nn.functional.conv2d(x, weight, bias).relu())
    finally:
        monkeypatch.undo()
        convolution._can_pack.cache_clear()

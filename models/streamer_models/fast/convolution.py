"""A convolution whose weights lie in the order that the processor's kernels want."""

from functools import cache

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor

from streamer_models.fast.packing import is_right, suits_packing

_WORTH_PACKING = 4_096
"""Weights from which on the order matters; with fewer, the call that takes them rearranged costs more than it saves."""

_STRIDE = _DILATION = [1, 1]
_PADDING = [0, 0]


class PackedConvolution:
    """x -> max(0, x * W + b), a valid convolution with stride 1.

    For a few frames of one utterance torch unfolds the image and rearranges the weights at every call. oneDNN, where
    torch has it, takes them rearranged and does without unfolding; the results differ in the order of the sums.

    Args:
        weight: [outputs, inputs, height, width].
        bias: [outputs].
        image: Height and width of the images that the order is chosen for; it serves others, too.
    """

    def __init__(self, weight: Tensor, bias: Tensor, image: tuple[int, int]) -> None:
        self._weight, self._bias = weight.detach(), bias.detach()
        self._is_packed = suits_packing(weight, _WORTH_PACKING) and _can_pack()
        if self._is_packed:
            self._weight = _pack(self._weight, image)

    def __call__(self, x: Tensor) -> Tensor:
        """[1, inputs, H, T] -> [1, outputs, H - height + 1, T - width + 1], channels last in memory."""
        if self._is_packed:
            return _packed_convolution(x, self._weight, self._bias)
        maps = F.conv2d(x, self._weight, self._bias).relu_()
        return maps.contiguous(memory_format=torch.channels_last)


@cache
def _can_pack() -> bool:
    """Return whether this torch has oneDNN's packed convolution, and it is right."""
    weight, bias, x = torch.ones(16, 8, 3, 3), torch.ones(16), torch.ones(1, 8, 5, 6)
    plain = F.conv2d(x, weight, bias).relu_()
    return is_right(lambda: _packed_convolution(x, _pack(weight, (5, 6)), bias), plain)


def _pack(weight: Tensor, image: tuple[int, int]) -> Tensor:
    with torch.inference_mode(mode=False), torch.no_grad():
        reorder = torch.ops.mkldnn._reorder_convolution_weight  # noqa: SLF001 - it has no other name
        last = weight.contiguous(memory_format=torch.channels_last)
        shape = [1, weight.shape[1], *image]
        packed: Tensor = reorder(last, _PADDING, _STRIDE, _DILATION, 1, shape)
    return packed


def _packed_convolution(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    convolve = torch.ops.mkldnn._convolution_pointwise  # noqa: SLF001 - it has no other name
    x = x.contiguous(memory_format=torch.channels_last)
    out: Tensor = convolve(x, weight, bias, _PADDING, _STRIDE, _DILATION, 1, "relu", [], "")
    return out

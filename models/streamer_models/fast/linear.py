"""A linear layer whose weights lie in the order that the processor's matrix kernels want."""

from functools import cache
from typing import Self

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from streamer_models.fast.packing import is_right, suits_packing

_WORTH_PACKING = 131_072
"""Weights from which on the order matters; small matrices stay in the cache in any."""

_ROWS = 96
"""Rows that the order is chosen for; it serves fewer just as well, but not the other way round."""


class PackedLinear:
    """x -> x W^T + b.

    Torch rearranges the weights at every call, which for few rows costs as much as the product. oneDNN, where torch
    has it, takes them rearranged; the results differ in the order of the sums.

    Args:
        weight: [outputs, inputs].
        bias: [outputs].
    """

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self._weight, self._bias = weight.detach(), bias.detach()
        self._is_packed = suits_packing(weight, _WORTH_PACKING) and _can_pack()
        if self._is_packed:
            self._weight = _pack(self._weight)

    @classmethod
    def of(cls, linear: nn.Linear) -> Self:
        """Return the same as a layer of torch's."""
        return cls(linear.weight, linear.bias)

    def __call__(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., outputs]."""
        if self._is_packed:
            return _packed_linear(x, self._weight, self._bias)
        return F.linear(x, self._weight, self._bias)


@cache
def _can_pack() -> bool:
    """Return whether this torch has oneDNN's packed product, and it is right."""
    weight, bias, x = torch.ones(16, 32), torch.ones(16), torch.ones(3, 32)
    return is_right(lambda: _packed_linear(x, _pack(weight), bias), F.linear(x, weight, bias))


def _pack(weight: Tensor) -> Tensor:
    with torch.inference_mode(mode=False), torch.no_grad():
        reorder = torch.ops.mkldnn._reorder_linear_weight  # noqa: SLF001 - it has no other name
        packed: Tensor = reorder(weight.contiguous(), _ROWS)
    return packed


def _packed_linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    product = torch.ops.mkldnn._linear_pointwise  # noqa: SLF001 - it has no other name
    out: Tensor = product(x, weight, bias, "none", [], "")
    return out

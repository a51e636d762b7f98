"""Packing of weights into the order of the matrix kernels, by operators of torch that have no public name."""

from collections.abc import Callable

import torch
from torch import Tensor


def suits_packing(weight: Tensor, least: int) -> bool:
    """Return whether oneDNN takes such weights, and there are at least so many of them."""
    return weight.numel() >= least and weight.device.type == "cpu" and weight.dtype == torch.float32


def is_right(packed: Callable[[], Tensor], plain: Tensor) -> bool:
    """Return whether the packed form is there in this torch, and gives what the plain one does."""
    try:
        result = packed()
    except (AttributeError, NotImplementedError, RuntimeError, TypeError):
        return False
    return torch.equal(result, plain)

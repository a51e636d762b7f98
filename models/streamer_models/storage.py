"""Weights as bytes: safetensors in which large matrices are int8 by the row, and the rest is half precision."""

from collections.abc import Mapping

import safetensors
import torch
from safetensors.torch import load, save
from torch import Tensor

INT8_ELEMENTS = 65_536
"""Matrices from this size on are stored as int8 with a scale for each row."""

HALF_ELEMENTS = 4_096
"""What is smaller than this is not worth rounding; above, float16."""

_SCALE = ":scale"


def pack(state: Mapping[str, Tensor]) -> bytes:
    """A state dict as the content of a safetensors file. The same state gives the same bytes.

    Raises:
        ValueError: A value is not finite, or too large for half precision.
    """
    stored: dict[str, Tensor] = {}
    for name, value in state.items():
        tensor = value.detach().cpu().contiguous()
        if not tensor.is_floating_point() or tensor.numel() < HALF_ELEMENTS:
            stored[name] = tensor
        elif tensor.ndim == 2 and tensor.numel() >= INT8_ELEMENTS:
            scale = tensor.abs().amax(dim=1) / 127
            divisor = torch.where(scale > 0, scale, 1)
            stored[name] = (tensor / divisor[:, None]).round().to(torch.int8)
            stored[name + _SCALE] = scale
        else:
            stored[name] = tensor.half()
        if not bool(stored[name].isfinite().all()):
            raise ValueError(f"the weights {name} are not finite in {stored[name].dtype}")
    return save(stored)


def unpack(data: bytes, like: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The state dict that was packed, up to rounding.

    Args:
        data: The content of the file; may be anything.
        like: The names, shapes and types that must come out of it, no more and no less.

    Raises:
        ValueError: The data are not that.
    """
    try:
        stored = load(data)
    except safetensors.SafetensorError as error:
        raise ValueError(f"not safetensors: {error}") from error
    state: dict[str, Tensor] = {}
    for name, wanted in like.items():
        tensor = stored.pop(name, None)
        if tensor is None:
            raise ValueError(f"the tensor {name} is missing")
        if tensor.shape != wanted.shape:
            raise ValueError(
                f"the tensor {name} has the shape {list(tensor.shape)}, not {list(wanted.shape)}"
            )
        if tensor.dtype == torch.int8 and wanted.is_floating_point():
            scale = stored.pop(name + _SCALE, None)
            if scale is None or scale.shape != tensor.shape[:1]:
                raise ValueError(f"the scales of the tensor {name} are missing")
            tensor = tensor.to(wanted.dtype).mul_(scale.to(wanted.dtype)[:, None])
        elif tensor.is_floating_point() != wanted.is_floating_point():
            raise ValueError(f"the tensor {name} is of the type {tensor.dtype}")
        state[name] = tensor.to(wanted.dtype)
        if not bool(state[name].isfinite().all()):
            raise ValueError(f"the tensor {name} is not finite")
    if stored:
        raise ValueError(f"the tensor {min(stored)} is unknown")
    return state

"""Weights as bytes: safetensors in which large matrices are int8 by the row, and the rest is half precision."""

from collections.abc import Mapping, Sequence

import safetensors
import torch
from safetensors.torch import load, save
from torch import Tensor

INT8_ELEMENTS = 65_536
"""Matrices from this size on are stored as int8 with a scale for each row."""

HALF_ELEMENTS = 4_096
"""What is smaller than this is not worth rounding; above, float16."""

_SCALE = ":scale"
_HEADER = 200
"""Bytes that a tensor's description takes in a file's header at most, its name aside."""


def pack(state: Mapping[str, Tensor], most: int = 2**63) -> list[bytes]:
    """Return a state dict as the contents of safetensors files. The same state gives the same bytes.

    Args:
        state: Weights by name.
        most: Bytes of a file.

    Raises:
        ValueError: A value is not finite, too large for half precision, or alone too large for a file.
    """
    parts: list[dict[str, Tensor]] = [{}]
    room = most
    for name, tensor in _stored(state).items():
        size = tensor.nbytes + len(name) + _HEADER
        if size > room and parts[-1]:
            parts.append({})
            room = most
        if size > room:
            raise ValueError(f"the weights {name} take more than {most} bytes")
        parts[-1][name] = tensor
        room -= size
    return [save(part) for part in parts]


def _stored(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
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
    return stored


def unpack(
    files: Sequence[bytes],
    like: Mapping[str, Tensor],
    outside: Mapping[str, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Return the state dict that was packed, up to rounding.

    Args:
        files: The contents of the files; may be anything.
        like: The names, shapes and types that must come out of them, no more and no less.
        outside: Tensors of other files that belong to them.

    Raises:
        ValueError: The data are not that.
    """
    stored = _joined(files, outside or {})
    state = {name: _restored(name, wanted, stored) for name, wanted in like.items()}
    if stored:
        raise ValueError(f"the tensor {min(stored)} is unknown")
    return state


def _joined(files: Sequence[bytes], outside: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return all tensors as they are stored."""
    stored = dict(outside)
    for data in files:
        try:
            part = load(data)
        except safetensors.SafetensorError as error:
            raise ValueError(f"not safetensors: {error}") from error
        if twice := part.keys() & stored.keys():
            raise ValueError(f"the tensor {min(twice)} is there twice")
        stored |= part
    return stored


def _restored(name: str, wanted: Tensor, stored: dict[str, Tensor]) -> Tensor:
    """Return one tensor, taken out of what is stored."""
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
    restored = tensor.to(wanted.dtype)
    if not bool(restored.isfinite().all()):
        raise ValueError(f"the tensor {name} is not finite")
    return restored

"""Tensors with a description, on disk in one step: a reader finds the old file or the new one, never a half."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from streamer.errors import UserError

_DESCRIPTION = "description"


def save_checkpoint(
    path: Path, tensors: Mapping[str, Tensor], description: Mapping[str, Any]
) -> None:
    """Write tensors and a description (JSON) to one safetensors file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    whole = {name: tensor.detach().clone().contiguous() for name, tensor in tensors.items()}
    save_file(whole, partial, metadata={_DESCRIPTION: json.dumps(description)})
    partial.replace(path)


def load_checkpoint(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what `save_checkpoint` wrote.

    Raises:
        UserError: Not there, or damaged.
    """
    if not path.is_file():
        raise UserError(f"{path}: not there; train that stage first")
    try:
        with safe_open(path, framework="pt") as file:
            description = json.loads((file.metadata() or {})[_DESCRIPTION])
            return {name: file.get_tensor(name) for name in file.keys()}, description  # noqa: SIM118 - not a mapping
    except (SafetensorError, KeyError, ValueError) as error:
        raise UserError(
            f"{path}: damaged ({error}); delete it and train that stage again"
        ) from error

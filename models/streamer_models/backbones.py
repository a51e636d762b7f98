"""Weights too large for a bundle: safetensors files that are found by their SHA-256, never fetched."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from safetensors import SafetensorError, safe_open
from torch import Tensor

from streamer_models.manifest import Backbone, BundleError

VARIABLE = "STREAMER_BACKBONES"
"""Environment variable with further folders, separated as in PATH."""


def folders() -> list[Path]:
    """Return where backbones are looked for, at any depth of three levels."""
    named = [Path(part) for part in os.environ.get(VARIABLE, "").split(os.pathsep) if part]
    return [*named, Path("~/.cache/streamer/backbones").expanduser()]


def find_backbone(backbone: Backbone) -> Path:
    """Return the file of a backbone.

    Raises:
        BundleError: It is in none of the folders.
    """
    for path in _candidates(backbone):
        if _sha256(path) == backbone.sha256:
            return path
    raise BundleError(
        f"the backbone {backbone.name} ({backbone.bytes} bytes, SHA-256 {backbone.sha256}) is missing: "
        f"put its safetensors file into {folders()[0]}"
    )


def read_backbone(backbone: Backbone) -> dict[str, Tensor]:
    """Return the tensors of a backbone by their names in the model's state.

    Raises:
        BundleError: It is missing, or not safetensors.
    """
    path = find_backbone(backbone)
    try:
        with safe_open(path, framework="pt") as file:
            names = [name for name in file.keys() if name.startswith(backbone.within)]  # noqa: SIM118
            return {
                backbone.prefix + name.removeprefix(backbone.within): file.get_tensor(name)
                for name in names
            }
    except (SafetensorError, OSError) as error:
        raise BundleError(f"the backbone {path.name} is not safetensors: {error}") from error


def _candidates(backbone: Backbone) -> Iterator[Path]:
    """Yield files of the right size, by pattern, in a fixed order."""
    for folder in folders():
        for depth in ("*", "*/*", "*/*/*"):
            for path in sorted(folder.glob(f"{depth}.safetensors")):
                if path.is_file() and path.stat().st_size == backbone.bytes:
                    yield path


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()

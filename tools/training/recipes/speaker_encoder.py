"""`python -m tools.train speaker-encoder`: GE2E's weights out of the wheel of resemblyzer, as they are.

The wheel: `pip download --no-deps resemblyzer==0.1.4`. Nothing of it is run, and its pickle is read as tensors only.
"""

import argparse
import hashlib
import io
import zipfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from streamer.errors import UserError
from streamer_models.speaker_encoder import SpeakerEncoder

_WHEEL = "8f12eb2f1a9982d32e8db7856de754709b59c93a77bcf0ff536584b619a9dd1f"
_WEIGHTS = "resemblyzer/pretrained.pt"
_LICENCE = "Resemblyzer-0.1.4.dist-info/LICENSE"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("wheel", type=Path, help="Resemblyzer-0.1.4-py3-none-any.whl")
    parser.add_argument("--out", type=Path, default=Path("models/pretrained/speaker-ge2e-1"))


def run(arguments: argparse.Namespace) -> None:
    """Convert the weights; print the SHA-256 that the program checks."""
    try:
        wheel = arguments.wheel.read_bytes()
    except OSError as error:
        raise UserError(f"{arguments.wheel}: {error.strerror}") from error
    if hashlib.sha256(wheel).hexdigest() != _WHEEL:
        raise UserError(f"{arguments.wheel}: not the wheel of resemblyzer 0.1.4")
    with zipfile.ZipFile(io.BytesIO(wheel)) as archive:
        weights, licence = converted(archive.read(_WEIGHTS)), archive.read(_LICENCE)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "LICENSE").write_bytes(licence)
    (arguments.out / "weights.safetensors").write_bytes(weights)
    print(f"weights.safetensors: SHA-256 {hashlib.sha256(weights).hexdigest()}")


def converted(checkpoint: bytes) -> bytes:
    """The weights of a checkpoint as safetensors, those of the training's loss left out."""
    state: dict[str, Any] = torch.load(io.BytesIO(checkpoint), "cpu", weights_only=True)
    names = SpeakerEncoder().state_dict()
    return save({name: state["model_state"][name].contiguous() for name in names})

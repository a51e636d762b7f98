"""Whisper's encoder out of CTranslate2's `model.bin`, a plain list of named arrays.

The file (version 6): its version, the name and revision of the model's kind, the number of arrays; of each its name,
rank, shape, element type, bytes; then aliases. Numbers are little-endian; a name is preceded by its length.
"""

import struct
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.errors import UserError
from streamer_models.encoders.whisper import Whisper, WhisperConfig

_VERSION = 6
_TYPES = {0: "<f4", 1: "i1", 2: "<i2", 3: "<i4", 4: "<f2"}
_MAX_BYTES = 4_000_000_000
_MAX_ARRAYS = 100_000
_MAX_RANK = 8

Arrays = dict[str, NDArray[np.generic]]


class _Reader:
    def __init__(self, data: bytes) -> None:
        self._data = memoryview(data)
        self._place = 0

    def take(self, size: int) -> memoryview:
        end = self._place + size
        if end > len(self._data):
            raise ValueError("the file is cut short")
        part, self._place = self._data[self._place : end], end
        return part

    def number(self, form: str = "<I") -> int:
        (value,) = struct.unpack(form, self.take(struct.calcsize(form)))
        return int(value)

    def name(self) -> str:
        return bytes(self.take(self.number("<H"))).rstrip(b"\0").decode()


def read_arrays(path: Path) -> Arrays:
    """Return all arrays of a CTranslate2 model by name, as they are stored.

    Raises:
        UserError: The file cannot be read or is not such a model.
    """
    try:
        with path.open("rb") as file:
            return _arrays(_Reader(file.read(_MAX_BYTES)))
    except (OSError, ValueError, KeyError, struct.error) as error:
        raise UserError(f"{path}: not a CTranslate2 model ({error})") from error


def _arrays(reader: _Reader) -> Arrays:
    if (version := reader.number()) != _VERSION:
        raise ValueError(f"version {version} instead of {_VERSION}")
    reader.name()
    reader.number()
    count = reader.number()
    if count > _MAX_ARRAYS:
        raise ValueError(f"{count} arrays")
    arrays: Arrays = {}
    for _ in range(count):
        name, rank = reader.name(), reader.number("<B")
        if rank > _MAX_RANK:
            raise ValueError(f"{name} has {rank} axes")
        shape = [reader.number() for _ in range(rank)]
        kind = reader.number("<B")
        if kind not in _TYPES:
            raise ValueError(f"{name} has the unknown type {kind}")
        arrays[name] = np.frombuffer(reader.take(reader.number()), _TYPES[kind]).reshape(shape)
    for _ in range(min(reader.number(), _MAX_ARRAYS)):
        alias = reader.name()
        arrays[alias] = arrays[reader.name()]
    return arrays


def pretrained_whisper(folder: Path, config: WhisperConfig | None = None) -> Whisper:
    """Return an encoder with Whisper's weights and a new head.

    Args:
        folder: Holds CTranslate2's `model.bin`.
        config: Sizes; the first layers of a deeper model are taken. Default: Whisper tiny's.

    Raises:
        UserError: The model is not a Whisper of these sizes.
    """
    arrays = read_arrays(folder / "model.bin")
    whisper = Whisper(config)
    try:
        state = {
            name: _tensor(arrays, theirs) for name, theirs in _names(whisper.config.layers).items()
        }
        state |= _attention(arrays, whisper.config.layers)
        state["positions"] = state["positions"][: whisper.config.positions]
        whisper.backbone.load_state_dict(state)
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{folder}: not a Whisper of the configured sizes ({error})") from error
    return whisper.eval()


def _names(layers: int) -> dict[str, str]:
    """Return the names in the file by those in `WhisperBackbone`."""
    names = {f"{conv}.{kind}": f"{conv}/{kind}" for conv in ("conv1", "conv2") for kind in _KINDS}
    names["positions"] = "position_encodings/encodings"
    for number in range(layers):
        ours, theirs = f"layers.{number}", f"layer_{number}"
        for layer, place in _LINEAR.items():
            names |= {f"{ours}.{layer}.{kind}": f"{theirs}/{place}/{kind}" for kind in _KINDS}
        for layer, place in _NORMS.items():
            names[f"{ours}.{layer}.weight"] = f"{theirs}/{place}/layer_norm/gamma"
            names[f"{ours}.{layer}.bias"] = f"{theirs}/{place}/layer_norm/beta"
    return names


_KINDS = ("weight", "bias")
_LINEAR = {
    "attention_out": "self_attention/linear_1",
    "expand": "ffn/linear_0",
    "contract": "ffn/linear_1",
}
_NORMS = {"attention_norm": "self_attention", "feed_forward_norm": "ffn"}


def _attention(arrays: Arrays, layers: int) -> dict[str, Tensor]:
    """Return queries, keys and values, which the file has in one matrix."""
    state = {}
    for number in range(layers):
        for kind in _KINDS:
            whole = _tensor(arrays, f"layer_{number}/self_attention/linear_0/{kind}")
            width = len(whole) // 3
            state[f"layers.{number}.query.{kind}"] = whole[:width]
            state[f"layers.{number}.key_value.{kind}"] = whole[width:]
    return state


def _tensor(arrays: Arrays, name: str) -> Tensor:
    """Return an array of the encoder as float32, its scale applied where it is stored as int8."""
    stored = arrays[f"encoder/{name}"]
    values = stored.astype(np.float32)
    if stored.dtype == np.int8:
        scale = arrays[f"encoder/{name}_scale"].astype(np.float32)
        values /= scale.reshape(-1, *[1] * (values.ndim - 1))
    return torch.from_numpy(values)

"""Decoded frames of FFmpeg -> float32 arrays."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from streamer.audio import Samples

_FORMATS: dict[str, tuple[Any, int, float]] = {
    "u8": (np.uint8, 128, 2.0**-7),
    "s16": (np.int16, 0, 2.0**-15),
    "s32": (np.int32, 0, 2.0**-31),
    "s64": (np.int64, 0, 2.0**-63),
    "flt": (np.float32, 0, 1.0),
    "dbl": (np.float64, 0, 1.0),
}
"""FFmpeg's sample formats: type, value of silence, value of one step."""

Planes = list[Samples]
"""One float32 array for each channel, in no particular range."""


def planes(frame: Any, channels: int) -> Planes:
    """Convert a decoded frame.

    FFmpeg's own conversion gives the same to the bit, but costs half as much as decoding.
    """
    name = frame.format.name
    kind, zero, scale = _FORMATS[name.removesuffix("p")]
    if name.endswith("p"):
        samples = [np.frombuffer(plane, kind, frame.samples) for plane in frame.planes]
    else:
        packed = np.frombuffer(frame.planes[0], kind, frame.samples * channels)
        samples = [packed[channel::channels] for channel in range(channels)]
    if kind is np.float32:
        return samples
    with np.errstate(over="ignore"):  # a double beyond all floats becomes infinite, and then 1
        return [(s.astype(np.float32) - np.float32(zero)) * np.float32(scale) for s in samples]


def joined(frames: Sequence[Planes], channels: int) -> Samples:
    """Join frames to one array [n, channels] in [-1, 1], each channel contiguous."""
    samples = np.empty((channels, sum(len(frame[0]) for frame in frames)), np.float32)
    if frames:
        for pieces, whole in zip(zip(*frames, strict=True), samples, strict=True):
            np.concatenate(pieces, out=whole)
    return clipped(samples).T


def clipped(samples: Samples) -> Samples:
    """Bring samples of any shape into [-1, 1], in place; NaN becomes silence."""
    with np.errstate(invalid="ignore", over="ignore"):
        finite = np.isfinite(samples.sum(dtype=np.float64))  # anything not finite makes the sum so
    if not finite:
        np.nan_to_num(samples, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.clip(samples, -1.0, 1.0, out=samples)

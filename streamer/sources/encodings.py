"""Encodings of raw samples, by FFmpeg's names: bytes -> float32."""

import numpy as np
from numpy.typing import NDArray

from streamer.audio import Samples
from streamer.media import RAW_FORMATS

_TYPES = {
    "u8": "u1",
    "s16le": "<i2",
    "s16be": ">i2",
    "s32le": "<i4",
    "f32le": "<f4",
    "f64le": "<f8",
}
_ZERO_AND_SCALE = {"u8": (128.0, 2.0**-7), "s32le": (0.0, 2.0**-31)}
_COMPANDED = ("mulaw", "alaw")

TELEPHONE_RATE = 8_000
"""Sample rate of G.711 in Hz."""


def default_rate(encoding: str | None, otherwise: int) -> int:
    """Return the sample rate in Hz that an encoding usually has."""
    return TELEPHONE_RATE if encoding in _COMPANDED else otherwise


def width(encoding: str) -> int:
    """Return the bytes of one sample."""
    if encoding in _COMPANDED:
        return 1
    return 3 if encoding == "s24le" else np.dtype(_TYPES[encoding]).itemsize


def decode(data: bytes, encoding: str) -> Samples:
    """Decode whole samples to float32 [n]; numbers beyond [-1, 1] are clipped, and NaN is silence.

    Raises:
        KeyError: the encoding is none of `streamer.media.RAW_FORMATS`.
    """
    if encoding in _COMPANDED:
        return _TABLES[encoding][np.frombuffer(data, np.uint8)]
    if encoding == "s24le":
        padded = np.zeros((len(data) // 3, 4), np.uint8)
        padded[:, 1:] = np.frombuffer(data, np.uint8).reshape(-1, 3)
        return padded.view("<i4")[:, 0].astype(np.float32) * np.float32(2.0**-31)
    values = np.frombuffer(data, _TYPES[encoding])
    if encoding in ("f32le", "f64le"):
        with np.errstate(over="ignore"):
            samples = values.astype(np.float32)
        return np.clip(np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0), -1.0, 1.0)
    zero, scale = _ZERO_AND_SCALE.get(encoding, (0.0, 2.0**-15))
    return (values.astype(np.float32) - np.float32(zero)) * np.float32(scale)


def _mulaw_table() -> Samples:
    """Return the table of G.711 mu-law: 8 bits to 14, as 16 bits."""
    code = ~np.arange(256) & 0xFF
    magnitude = (((code & 0x0F) << 3) + 0x84 << ((code & 0x70) >> 4)) - 0x84
    return _signed(magnitude, code & 0x80 == 0)


def _alaw_table() -> Samples:
    """Return the table of G.711 A-law: 8 bits to 13, as 16 bits."""
    code = np.arange(256) ^ 0x55
    exponent, mantissa = code >> 4 & 0x07, code & 0x0F
    low = (mantissa << 4) + 8
    high = (mantissa << 4) + 0x108 << np.maximum(exponent, 1) - 1
    return _signed(np.where(exponent == 0, low, high), code & 0x80 != 0)


def _signed(magnitude: NDArray[np.int64], positive: NDArray[np.bool_]) -> Samples:
    return (np.where(positive, magnitude, -magnitude) * 2.0**-15).astype(np.float32)


_TABLES = {"mulaw": _mulaw_table(), "alaw": _alaw_table()}

assert {*_TYPES, *_COMPANDED, "s24le"} == {*RAW_FORMATS}  # noqa: S101 - one list of names

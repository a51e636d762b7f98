"""Recognising recordings by their first bytes, where audio comes without a name."""

import struct
from dataclasses import dataclass

HEAD = 16
"""Bytes that `container` looks at."""

_MAGIC = {
    b"RIFX": "RIFX",
    b"RF64": "WAV",
    b"fLaC": "FLAC",
    b"OggS": "Ogg",
    b"ID3": "MP3",
    b"\x1aE\xdf\xa3": "Matroska",
    b"FORM": "AIFF",
    b"caff": "CAF",
    b"#!AMR": "AMR",
    b".snd\0\0\0": "AU",
    b"\x30\x26\xb2\x75\x8e\x66\xcf\x11": "ASF",
    b"riff\x2e\x91\xcf\x11": "W64",
}

_ENCODINGS = {
    (1, 8): "u8",
    (1, 16): "s16le",
    (1, 24): "s24le",
    (1, 32): "s32le",
    (3, 32): "f32le",
} | {
    (3, 64): "f64le",
    (6, 8): "alaw",
    (7, 8): "mulaw",
}
"""Format tag and bits of a WAV file's samples -> encoding."""
_EXTENSIBLE = 0xFFFE


@dataclass(frozen=True, slots=True)
class WavFormat:
    """Format chunk of a WAV file."""

    encoding: str | None
    """None: one that is no plain encoding of samples."""
    rate: int
    channels: int


def container(head: bytes) -> str | None:
    """Name the recording that begins with these bytes; None if they are no known one's."""
    if head[:4] == b"RIFF" and head[8:12] in (b"WAVE", b""):
        return "WAV"
    if head[4:8] == b"ftyp":
        return "MP4"
    return next((name for magic, name in _MAGIC.items() if head.startswith(magic)), None)


def wav_format(chunk: bytes) -> WavFormat | None:
    """Read the format chunk of a WAV file; None if it is too short."""
    if len(chunk) < 16:
        return None
    tag, channels, rate, _, _, bits = struct.unpack_from("<HHIIHH", chunk)
    if tag == _EXTENSIBLE and len(chunk) >= 26:
        (tag,) = struct.unpack_from("<H", chunk, 24)
    return WavFormat(_ENCODINGS.get((tag, bits)), rate, channels)

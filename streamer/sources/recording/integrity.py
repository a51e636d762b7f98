"""Signs in a file's own structure that it was cut off, which decoders pass over."""

import struct
from pathlib import Path

_MAX_CHUNKS = 1000
_TAIL_BYTES = 1 << 17
"""More than two of Ogg's largest pages."""
_HEAD_BYTES = 1 << 18
_SHORT_SECONDS = 0.5
_STREAMED = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFDB)
"""Sizes that programs write which could not know the length."""


def cut_off(path: Path, seconds: float) -> bool:
    """Whether a file that decoded to `seconds` of audio lacks its end.

    Knows RIFF (the data chunk's size), Ogg (the last page must say that it is the last) and MP3 (the
    frame count of a Xing header); of other formats the decoder tells by itself.
    """
    with path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
        size = handle.seek(0, 2)
        handle.seek(max(0, size - _TAIL_BYTES))
        tail = handle.read(_TAIL_BYTES)
    if head.startswith(b"RIFF"):
        return _riff_lacks_data(path, size)
    if head.startswith(b"OggS"):
        return _ogg_lacks_end(tail)
    return _mp3_lacks_frames(head, seconds)


def _riff_lacks_data(path: Path, size: int) -> bool:
    with path.open("rb") as handle:
        offset = 12
        for _ in range(_MAX_CHUNKS):
            handle.seek(offset)
            header = handle.read(8)
            if len(header) < 8:
                return False
            name, length = struct.unpack("<4sI", header)
            if name == b"data":
                return length not in _STREAMED and offset + 8 + length > size
            offset += 8 + length + length % 2
    return False


def _ogg_lacks_end(tail: bytes) -> bool:
    start = tail.rfind(b"OggS")
    if start < 0 or len(tail) < start + 27:
        return True
    flags, segments = tail[start + 5], tail[start + 26]
    table = tail[start + 27 : start + 27 + segments]
    whole = len(tail) >= start + 27 + segments + sum(table) and len(table) == segments
    return not (flags & 4 and whole)


def _mp3_lacks_frames(head: bytes, seconds: float) -> bool:
    found = max(head.find(b"Xing"), head.find(b"Info"))
    if found < 36 or len(head) < found + 12:
        return False
    # The Xing header stands in the first frame, 36, 21 or 13 bytes after its beginning.
    for distance in (36, 21, 13):
        sync = head[found - distance : found - distance + 4]
        if len(sync) == 4 and sync[0] == 0xFF and sync[1] & 0xE0 == 0xE0:
            break
    else:
        return False
    flags, frames = struct.unpack(">II", head[found + 4 : found + 12])
    samples = int(frames) * (1152 if sync[1] & 0x18 == 0x18 else 576)
    if not flags & 1:
        return False
    rate = (44100, 48000, 32000, 0)[sync[2] >> 2 & 3] // {0x18: 1, 0x10: 2}.get(sync[1] & 0x18, 4)
    return rate > 0 and seconds < samples / rate - _SHORT_SECONDS

"""Jumps of time stamps: was audio not recorded, or is the file damaged there?"""

from collections import deque
from pathlib import Path
from typing import Any

_REMEMBERED = 4
"""Packets looked back on: decoders deliver frames a few packets late."""
_MAX_OVERHEAD = 1024
"""Bytes that a container may put between two packets."""
_PAGE_HEADER = 27
_PAGES_BEYOND = 3
"""Pages checked behind the last packet, as not every packet has a position."""

SELF_FRAMED = ("mp3", "aac", "amr", "flac", "ac3", "eac3", "mp2", "gsm")
"""Formats without time stamps of their own: a jump is always damage, and their end may be a cut anywhere."""


class Continuity:
    """Follows the packets of a track through the file's bytes.

    Args:
        path: the file.
        formats: names of its format.
        is_alone: whether the file holds no other stream, whose bytes would lie between.
    """

    def __init__(self, path: Path, formats: list[str], *, is_alone: bool) -> None:
        self._path = path
        self._formats = formats
        self._is_alone = is_alone
        self._recent: deque[tuple[int, int]] = deque(maxlen=_REMEMBERED)

    def follow(self, packet: Any) -> None:
        """Register a packet."""
        if packet.pos is not None and packet.pos >= 0 and packet.size:
            self._recent.append((packet.pos, packet.size))

    def is_broken(self) -> bool:
        """Return whether the bytes of the last packets show damage between them."""
        if any(name in SELF_FRAMED for name in self._formats):
            return True
        if "ogg" in self._formats and self._recent:
            return _has_bad_page(self._path, self._recent[0][0], self._recent[-1][0])
        if "matroska" in self._formats and self._is_alone:
            ends = [position + size for position, size in self._recent]
            begins = [position for position, _ in self._recent]
            return any(b - e > _MAX_OVERHEAD for e, b in zip(ends, begins[1:], strict=False))
        return False


def _has_bad_page(path: Path, start: int, end: int) -> bool:
    """Return whether a page of an Ogg file in a span, or soon after, lacks its mark or fails its checksum."""
    beyond = 0
    with path.open("rb") as handle:
        while beyond < _PAGES_BEYOND:
            beyond += start >= end
            handle.seek(start)
            header = handle.read(_PAGE_HEADER)
            if not header:
                return False
            if len(header) < _PAGE_HEADER or not header.startswith(b"OggS"):
                return True
            table = handle.read(header[26])
            page = bytearray(header + table + handle.read(sum(table)))
            checksum = int.from_bytes(page[22:26], "little")
            page[22:26] = bytes(4)
            if _ogg_checksum(page) != checksum:
                return True
            start += len(page)
    return False


def _ogg_checksum(page: bytes | bytearray) -> int:
    value = 0
    for byte in page:
        value = (value << 8 & 0xFFFFFFFF) ^ _TABLE[value >> 24 ^ byte]
    return value


def _table_entry(byte: int) -> int:
    value = byte << 24
    for _ in range(8):
        value = (value << 1 ^ 0x04C11DB7 * (value >> 31)) & 0xFFFFFFFF
    return value


_TABLE = [_table_entry(byte) for byte in range(256)]

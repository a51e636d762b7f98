"""Evidence in a file's own structure that its audio was cut off, or goes on beyond what its header says.

FFmpeg passes over both. A guessed duration proves nothing and is not looked at.
"""

import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

_MAX_CHUNKS = 1000
_TAIL_BYTES = 1 << 17
"""More than two of Ogg's largest pages."""
_HEAD_BYTES = 1 << 18
_TOLERANCE = 0.5
"""Seconds by which audio may be shorter than its header says: headers round, encoders pad."""
_UNKNOWN_SIZES = (0, 0xFFFFFFFF, 0x7FFFFFFF, 0xFFFFFFDB)
"""Sizes that programs write which could not know the length."""
_MIN_EXTRA_BYTES = 4096
"""Fewer bytes behind the audio of a WAV file are padding or an unknown chunk, not audio."""


@dataclass(frozen=True, slots=True)
class RiffAudio:
    """Position of a RIFF file's audio."""

    start: int
    size: int
    """Bytes, as the header says."""
    file_size: int

    @property
    def is_cut_off(self) -> bool:
        """Whether the file ends before its audio does."""
        return self.size not in _UNKNOWN_SIZES and self.start + self.size > self.file_size

    def goes_on(self, path: Path) -> bool:
        """Return whether bytes follow the audio that are no chunks: more audio than the header says."""
        end = self.start + self.size
        if self.size in _UNKNOWN_SIZES or self.file_size - end < _MIN_EXTRA_BYTES:
            return False
        with path.open("rb") as handle:
            return not _are_chunks(handle, end + self.size % 2, self.file_size)


def riff_audio(path: Path) -> RiffAudio | None:
    """Find the audio of a RIFF file; None if it is none or has none."""
    with path.open("rb") as handle:
        if handle.read(4) != b"RIFF":
            return None
        file_size = handle.seek(0, 2)
        offset = 12
        for _ in range(_MAX_CHUNKS):
            handle.seek(offset)
            header = handle.read(8)
            if len(header) < 8:
                return None
            name, length = struct.unpack("<4sI", header)
            if name == b"data":
                return RiffAudio(offset + 8, length, file_size)
            offset += 8 + length + length % 2
    return None


def cut_off(path: Path, seconds: float, duration: float | None) -> bool:
    """Return whether a file that decoded to `seconds` of audio provably lacks its end.

    Knows RIFF (size of the data chunk), Ogg (an incomplete last page), Matroska (size of the segment), MP3 (frame
    count of a Xing header), and the formats whose header counts the samples of the audio itself.

    Args:
        path: the file.
        seconds: length of the audio decoded, with its gaps.
        duration: length that the header states for the audio itself; None if it states none.
    """
    with path.open("rb") as handle:
        head = handle.read(_HEAD_BYTES)
        size = handle.seek(0, 2)
        handle.seek(max(0, size - _TAIL_BYTES))
        tail = handle.read(_TAIL_BYTES)
    if head.startswith(b"RIFF"):
        riff = riff_audio(path)
        return riff is not None and riff.is_cut_off
    if head.startswith(b"OggS"):
        return _ogg_lacks_end(tail)
    if head.startswith(b"\x1aE\xdf\xa3"):
        whole = duration is not None and seconds >= duration - _TOLERANCE
        return not whole and _matroska_lacks_end(head, size)
    if _mp3_lacks_frames(head, seconds):
        return True
    return duration is not None and seconds < duration - _TOLERANCE


def holds_another(path: Path) -> bool:
    """Return whether a second recording follows the first in an MP4 or AIFF file, where decoders stop."""
    indexes, offset = 0, 0
    with path.open("rb") as handle:
        size = handle.seek(0, 2)
        for _ in range(_MAX_CHUNKS):
            handle.seek(offset)
            header = handle.read(16)
            if len(header) < 8:
                return False
            if header.startswith(b"FORM"):
                indexes += 1
                offset += 8 + int.from_bytes(header[4:8])
            else:
                indexes += header[4:8] == b"moov"
                length = int.from_bytes(header[:4])
                length = int.from_bytes(header[8:16]) if length == 1 else length or size
                offset += max(8, length)
            if indexes > 1:
                return True
    return False


def _are_chunks(handle: BinaryIO, offset: int, end: int) -> bool:
    """Return whether the rest of a file, but for padding, is a sequence of RIFF chunks."""
    for _ in range(_MAX_CHUNKS):
        handle.seek(offset)
        header = handle.read(8)
        if len(header) < 8 or not header.strip(b"\0"):
            return True
        name, length = struct.unpack("<4sI", header)
        printable = all(32 <= byte < 127 for byte in name)
        if not printable or name == b"RIFF" or offset + 8 + length > end:
            return False
        offset += 8 + length + length % 2
    return False


def _ogg_lacks_end(tail: bytes) -> bool:
    """Return whether the last page is incomplete; many recorders omit the end-of-stream flag of a whole file."""
    start = tail.rfind(b"OggS")
    if start < 0 or len(tail) < start + 27:
        return True
    segments = tail[start + 26]
    table = tail[start + 27 : start + 27 + segments]
    return len(table) < segments or len(tail) < start + 27 + segments + sum(table)


def _matroska_lacks_end(head: bytes, size: int) -> bool:
    """Return whether the segment is larger than the file."""
    offset = 4
    ebml, width = _ebml_number(head, offset)
    if ebml is None:
        return False
    offset += width + ebml
    if head[offset : offset + 4] != b"\x18\x53\x80\x67":
        return False
    segment, width = _ebml_number(head, offset + 4)
    return segment is not None and offset + 4 + width + segment > size


def _ebml_number(data: bytes, offset: int) -> tuple[int | None, int]:
    """Read an element's size and its width in bytes; the size is None if it is unknown or invalid."""
    if offset >= len(data) or not data[offset]:
        return None, 1
    width = 9 - data[offset].bit_length()
    value = int.from_bytes(data[offset : offset + width]) & (1 << 7 * width) - 1
    return (None if value == (1 << 7 * width) - 1 else value), width


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
    return rate > 0 and seconds < samples / rate - _TOLERANCE

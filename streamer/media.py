"""Opening media files with FFmpeg safely: plain files only, known formats only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

FORMATS = (
    *("wav", "w64", "aiff", "au", "caf", "flac", "ogg", "mp3", "aac", "ac3", "eac3", "amr", "ape"),
    *("tta", "wv", "voc", "dsf", "nistsphere", "sln", "mov", "mp4", "matroska", "webm", "avi"),
    *("asf", "flv", "mpegts", "mpeg", "rm", "gsm", "qcp", "mxf", "iff", "ircam", "tak", "mpc8"),
)
"""FFmpeg's demuxers that may open a file. None of them opens other files, as playlists do."""

RAW_FORMATS = ("s16le", "s16be", "s24le", "s32le", "f32le", "f64le", "u8", "mulaw", "alaw")
"""Encodings of headerless audio, by FFmpeg's names."""


def open_media(
    path: Path,
    raw: str | None = None,
    *,
    rate: int = 0,
    channels: int = 0,
    extra: Mapping[str, str] | None = None,
) -> Any:
    """Open a file for reading with PyAV.

    The name is always a file's, never an address of FFmpeg (`http:`, `subfile,,`), whatever it looks like.

    Args:
        path: the file.
        raw: encoding of headerless audio, one of `RAW_FORMATS`; None: recognise the format.
        rate: sample rate of headerless audio in Hz.
        channels: interleaved channels of headerless audio.
        extra: further options of the demuxer.

    Returns:
        An `av.container.InputContainer`.

    Raises:
        av.error.FFmpegError: if the file cannot be opened or has no known format.
    """
    import av

    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(FORMATS), **(extra or {})}
    if raw is not None:
        options |= {"format_whitelist": raw, "sample_rate": str(rate)}
        options["ch_layout"] = f"{channels}c"
    return av.open(f"file:{path}", format=raw, options=options, metadata_errors="replace")

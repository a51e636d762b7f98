"""Command-line options that several sources share."""

import argparse
from datetime import UTC, datetime

from streamer.media import RAW_FORMATS
from streamer.registry import Option, whole_number

_MAX_TRACKS = 8


def _tracks(text: str) -> tuple[int, ...]:
    """Return the type of a list of tracks, from 1."""
    try:
        tracks = tuple(int(part) for part in text.split(","))
    except ValueError:
        tracks = ()
    valid = 0 < len(tracks) <= _MAX_TRACKS and min(tracks, default=0) >= 1
    if not valid or len({*tracks}) < len(tracks):
        raise argparse.ArgumentTypeError(f"{text[:100]}: expected numbers of tracks, e.g. 1,2")
    return tracks


def _moment(text: str) -> datetime:
    """Return the type of a date with a time; without an offset it is local time."""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        moment = None
    if moment is None:
        raise argparse.ArgumentTypeError(f"{text[:100]}: expected e.g. 2026-03-01T14:30:00+01:00")
    if moment > datetime.now(UTC):
        raise argparse.ArgumentTypeError(f"{text}: is in the future")
    return moment


RAW_OPTIONS = (
    Option(
        "--format",
        choices=RAW_FORMATS,
        metavar="NAME",
        help=f"encoding of audio without a header: {', '.join(RAW_FORMATS)} (default on -: s16le)",
    ),
    Option(
        "--rate",
        type=whole_number(4_000, 384_000, "Hz"),
        metavar="HZ",
        help="sample rate of audio without a header (default 16000; 8000 for mulaw and alaw)",
    ),
    Option(
        "--channels-in",
        type=whole_number(1, 8, "channels"),
        default=1,
        metavar="N",
        help="channels of audio without a header (default 1)",
    ),
)
"""How to read audio without a header."""

RECORDING_OPTIONS = (
    Option(
        "--tracks",
        type=_tracks,
        metavar="N,N",
        help="audio tracks to analyse (default: all, side by side)",
    ),
    Option(
        "--started-at",
        type=_moment,
        metavar="TIME",
        help="when the call began, ISO 8601 (default: as the file says): the events' time",
    ),
)
"""How to read a recording."""

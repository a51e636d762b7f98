"""Durations of recordings, for progress bars."""

from collections.abc import Sequence
from pathlib import Path


def durations(files: Sequence[str]) -> dict[str, float]:
    """Return the seconds of each recording; 0 for one that cannot be opened, which is reported when it is replayed."""
    return {file: _duration(file) for file in files}


def _duration(file: str) -> float:
    from streamer.errors import UserError
    from streamer.sources.recording.decoder import Decoder

    try:
        with Decoder(Path(file)) as decoder:
            return decoder.duration or 0.0
    except (UserError, OSError):
        return 0.0

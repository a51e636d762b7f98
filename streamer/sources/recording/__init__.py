"""Recorded audio."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from streamer.audio import SAMPLE_RATE
from streamer.registry import Health, Plugin, SourceContext
from streamer.sources.options import RAW_OPTIONS, RECORDING_OPTIONS

if TYPE_CHECKING:
    from streamer.settings.tree import Settings
    from streamer.sources.recording.decoder import Headerless
    from streamer.sources.recording.source import RecordingSource


@dataclass(frozen=True, slots=True)
class RecordingOptions:
    """Options of reading a recording."""

    tracks: tuple[int, ...] = ()
    """Audio tracks, from 1; none: all."""
    started_at: datetime | None = None
    """When the call began; None: as the file says."""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> Self:
        """Return the options that were given on the command line."""
        return cls(**{name: value for name, value in values.items() if value is not None})


def recording_source(
    path: Path,
    context: SourceContext,
    options: RecordingOptions,
    *,
    headerless: "Headerless | None" = None,
    name: str | None = None,
) -> "RecordingSource":
    """Make the source of a recorded file.

    Args:
        path: the file.
        context: what sources are made with.
        options: how it is read.
        headerless: how to read it without a header.
        name: what it is called, if not by the file's name.
    """
    from streamer.sources.recording.source import RecordingSource

    return RecordingSource(
        path,
        context.clock,
        speed=context.speed,
        channels=context.audio.channels,
        tracks=options.tracks,
        started=options.started_at,
        headerless=headerless,
        name=name,
    )


def _make(
    target: str,
    *,
    context: SourceContext,
    format: str | None = None,  # noqa: A002 - the option's name
    rate: int | None = None,
    channels_in: int = 1,
    **recording: Any,
) -> "RecordingSource":
    headerless = None
    if format is not None:
        from streamer.sources.encodings import default_rate
        from streamer.sources.recording.decoder import Headerless

        rate = rate or default_rate(format, SAMPLE_RATE)
        headerless = Headerless(format, rate, channels_in)
    options = RecordingOptions.of(recording)
    return recording_source(Path(target), context, options, headerless=headerless)


def _check(_: "Settings") -> Health:
    import av

    formats = ("wav", "mp3", "flac", "ogg", "mov")
    missing = [name for name in formats if name not in av.formats_available]
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    if missing:
        return Health("limited", f"cannot read {', '.join(missing)}", "reinstall av")
    return Health("ok", f"wav, mp3, flac, ogg/opus, m4a (libavcodec {version})")


PLUGIN = Plugin(
    _make,
    (*RAW_OPTIONS, *RECORDING_OPTIONS),
    check=_check,
    commands=frozenset({"replay", "send"}),
)

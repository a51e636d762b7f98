"""Recorded audio."""

from pathlib import Path
from typing import TYPE_CHECKING

from streamer.registry import Health, Plugin, SourceContext

if TYPE_CHECKING:
    from streamer.settings.tree import Settings
    from streamer.sources.recording.source import RecordingSource


def _make(target: str, *, context: SourceContext) -> "RecordingSource":
    from streamer.sources.recording.source import RecordingSource

    return RecordingSource(
        Path(target),
        context.clock,
        speed=context.speed,
        channels=context.audio.channels,
        dual_mono=context.audio.dual_mono,
    )


def _check(_: "Settings") -> Health:
    import av

    formats = ("wav", "mp3", "flac", "ogg", "mov")
    missing = [name for name in formats if name not in av.formats_available]
    version = ".".join(map(str, av.library_versions["libavcodec"]))
    if missing:
        return Health("limited", f"cannot read {', '.join(missing)}", "reinstall av")
    return Health("ok", f"wav, mp3, flac, ogg/opus, m4a (libavcodec {version})")


PLUGIN = Plugin(_make, check=_check, commands=frozenset({"replay"}))

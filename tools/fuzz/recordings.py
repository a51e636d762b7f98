"""Mutated recordings: each is analysed, or refused in one line; time never runs back, samples are samples."""

import asyncio
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from streamer.audio import AudioChunk
from streamer.clock import VirtualClock
from streamer.errors import SourceError, UserError
from streamer.sources.recording.source import RecordingSource
from tools.fuzz import running
from tools.fuzz.mutation import mutated

FORMATS = {
    "wav": ("wav", "pcm_s16le"),
    "mp3": ("mp3", "libmp3lame"),
    "flac": ("flac", "flac"),
    "ogg": ("ogg", "libopus"),
    "m4a": ("mp4", "aac"),
    "mkv": ("matroska", "libopus"),
}
_RATE = 48_000
_SECONDS = 4.0


def prepare(folder: Path) -> running.Attempt:
    """Write a whole recording of each format."""
    whole = {name: _recording(folder / f"whole.{name}", name) for name in FORMATS}

    def attempt(rng: Generator) -> str:
        name = str(rng.choice([*whole]))
        data = mutated(whole[name], rng)
        if rng.random() < 0.1:
            data += mutated(whole[str(rng.choice([*whole]))], rng)
        path = folder / f"case.{name}"
        path.write_bytes(data)
        return f"{name} {asyncio.run(_replayed(path))}"

    return attempt


async def _replayed(path: Path) -> str:
    ends: dict[int, int] = {}
    try:
        async with RecordingSource(path, VirtualClock()) as source:
            async for item in source:
                _require(item.start == ends.get(item.channel, 0), "time has a hole")
                _require(item.end >= item.start, "time runs back")
                ends[item.channel] = item.end
                if isinstance(item, AudioChunk):
                    peak = float(np.abs(item.samples).max(initial=0.0))
                    # soxr rings a little beyond full scale
                    _require(bool(np.isfinite(item.samples).all()) and peak < 2, "no samples")
    except UserError as error:
        _require("\n" not in str(error) and len(str(error)) < 500, "no line")
        return "refused"
    except SourceError as error:
        _require("\n" not in str(error) and len(str(error)) < 500, "no line")
        return "damaged"
    return "whole"


def _require(holds: bool, what: str) -> None:
    if not holds:
        raise AssertionError(what)


def _recording(path: Path, name: str) -> bytes:
    """Return a stereo recording of two voices in turns, as bytes."""
    container_format, codec = FORMATS[name]
    signal = _signal()
    with av.open(str(path), "w", format=container_format) as container:
        stream: Any = container.add_stream(codec, rate=_RATE, layout="stereo")
        convert = av.AudioResampler(stream.codec_context.format, "stereo", _RATE)
        for offset in range(0, len(signal), 960):
            piece = np.ascontiguousarray(signal[offset : offset + 960].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(piece, "flt", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = _RATE, offset, Fraction(1, _RATE)
            for converted in convert.resample(frame):
                container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return path.read_bytes()


def _signal() -> NDArray[np.float32]:
    time = np.arange(round(_SECONDS * _RATE)) / _RATE
    voices = [
        0.3 * np.sin(2 * np.pi * f * time) * (np.sin(np.pi * time + p) > 0)
        for f, p in ((200, 0.0), (310, np.pi))
    ]
    noise = np.random.default_rng(0).normal(0, 0.01, (len(time), 2))
    return (np.stack(voices, axis=1) + noise).astype(np.float32)


add_arguments = running.add_arguments
run = running.command(prepare)

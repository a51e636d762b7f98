"""What the benchmarks of whole conversations share: calls, engines, and a sink that keeps the latencies."""

import argparse
import asyncio
import itertools
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np

from streamer import events
from streamer.api import Engine
from streamer.audio import SAMPLE_RATE, AudioChunk, Samples, to_samples
from streamer.clock import Clock, VirtualClock
from streamer.control import LiveStatus, TranscriptCounts
from streamer.errors import UserError
from streamer.process import exempt_from_collection, one_thread_per_computation
from streamer.registry import TRANSCRIBERS
from streamer.settings import load as configuration
from streamer.settings.shipped import sample_call
from streamer.settings.tree import Segmentation
from streamer.sinks import Sink
from streamer.sinks.jsonl import JsonlSink
from streamer.sources import AudioSource, SourceInfo
from streamer.sources.recording.source import RecordingSource
from streamer.speech import SpeechEnded
from streamer.speech.registry import make_segmenter
from streamer.transcription import Transcript

KNOWN = "known"
"""The transcriber that costs nothing."""

BACKENDS = ("auto", *TRANSCRIBERS.names())
ASR = (KNOWN, *BACKENDS)

_SPEECH = (
    "well I told you last week that the parcel never came and nobody has ever called me about it"
)
_WORDS_PER_SECOND = 2.5
_STEP = 960
_BLOCK = 20 * SAMPLE_RATE
"""Samples that an endless call is delivered at a time: live, 60 ms; else, as a recording at full speed."""

_BRIEF = SAMPLE_RATE
_PAUSE = int(0.9 * SAMPLE_RATE)
"""Samples of a brief utterance, and of the silence that ends it for certain."""

BRIEF_SECONDS = (_BRIEF + _PAUSE) / SAMPLE_RATE
"""How long both take."""

_SUFFIXES = {".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a"}


def add_data_option(parser: argparse.ArgumentParser) -> None:
    """Declare the option that chooses the recordings."""
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="recordings (default: the sample call)"
    )


def recordings(data: Path | None) -> list[Path]:
    """Return the recordings of a folder, sorted; the sample call if none is named."""
    if data is None:
        return [sample_call()]
    found = sorted(f for f in data.glob("*") if f.suffix.lower() in _SUFFIXES)
    if not found:
        raise UserError(f"{data}: no recordings there")
    return found


def load_engine(
    asr: str, *, transcribers: int = 1, overrides: Mapping[str, Any] | None = None
) -> Engine:
    """Load the models, all as the program has it but for the transcriber, one of `ASR`, and what is overridden."""
    chosen = {
        "asr.backend": "none" if asr == KNOWN else asr,
        "asr.parallel": transcribers,
        **(overrides or {}),
    }
    settings = configuration.load(overrides=chosen)
    one_thread_per_computation()
    engine = Engine.load(settings, lambda line: print(line, file=sys.stderr))
    exempt_from_collection()
    return engine if asr != KNOWN else Engine.of(settings, engine.bundle, [KnownWords()])


def words(samples: int) -> str:
    """As many words as are said in that time."""
    count = max(1, round(_WORDS_PER_SECOND * samples / SAMPLE_RATE))
    return " ".join(itertools.islice(itertools.cycle(_SPEECH.split()), count))


class KnownWords:
    """Gives words without listening: what recognition costs is left out, what text costs is not."""

    name = KNOWN

    def transcribe(self, samples: Samples, *, language: str | None) -> Transcript:
        """See `Transcriber.transcribe`."""
        return Transcript(words(len(samples)), "ok", language)

    def close(self) -> None:
        """See `Transcriber.close`: there is nothing to do."""


@dataclass(frozen=True)
class Call:
    """A recording that has been decoded."""

    name: str
    channels: tuple[str, ...]
    samples: Samples
    """float32 [channels, n] at 16 kHz."""

    @property
    def seconds(self) -> float:
        """How long it is."""
        return int(self.samples.shape[1]) / SAMPLE_RATE

    @cached_property
    def endless(self) -> Samples:
        """Its samples, their beginning once more behind their end, so that every piece is a slice."""
        return np.pad(self.samples, ((0, 0), (0, _BLOCK)), mode="wrap")


def read_call(path: Path) -> Call:
    """Decode a whole recording; what it lacks is silence."""
    return asyncio.run(_read(path))


async def _read(path: Path) -> Call:
    async with RecordingSource(path, VirtualClock()) as source:
        items = [item async for item in source]
        info = source.info
    samples = np.zeros((len(info.channels), max(item.end for item in items)), np.float32)
    for item in items:
        if isinstance(item, AudioChunk):
            samples[item.channel, item.start : item.end] = item.samples
    return Call(path.name, info.channels, samples)


def brief_call(call: Call, settings: Segmentation) -> Call:
    """Return the beginnings of a call's utterances, a second each, with pauses between, as of one speaker."""
    pieces: list[Samples] = []
    for channel, samples in enumerate(call.samples):
        segmenter = make_segmenter(settings, channel)
        heard = [*segmenter.push(AudioChunk(channel, 0, samples)), *segmenter.flush()]
        for event in heard:
            if isinstance(event, SpeechEnded) and len(event.samples) >= _BRIEF:
                pieces += [event.samples[:_BRIEF], np.zeros(_PAUSE, np.float32)]
    return Call(f"{call.name}, in short", ("speaker",), np.concatenate(pieces)[None])


class Endless:
    """A call played over and over, already decoded.

    Args:
        call: what is played.
        clock: whose time it keeps to.
        seconds: when it ends nevertheless.
        live: whether it is what a microphone is: audio with the time at which it was spoken, which
            does not wait.
        begin: seconds of the call that are left out the first time.
    """

    def __init__(
        self, call: Call, clock: Clock, *, seconds: float, live: bool, begin: float = 0.0
    ) -> None:
        self._call = call
        self._clock = clock
        self._length = to_samples(seconds)
        self._begin = to_samples(begin)
        self.info = SourceInfo(call.name, call.channels, live=live, session="endless")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        pass

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        begun = self._clock.seconds()
        length = self._call.samples.shape[1]
        step = _STEP if self.info.live else _BLOCK
        samples = self._call.endless
        for start in range(0, self._length, step):
            end = min(start + step, self._length)
            # The time at which it was spoken, however late we are: that counts as latency, too.
            spoken = begun + end / SAMPLE_RATE
            await self._clock.sleep_until(spoken)
            place = (self._begin + start) % length
            captured = spoken if self.info.live else None
            for channel in range(len(samples)):
                piece = samples[channel, place : place + end - start]
                yield AudioChunk(channel, start, piece, captured)


@dataclass
class Tally(Sink):
    """A sink that keeps what figures are made of."""

    latencies: list[float] = field(default_factory=list)
    """Of each utterance: milliseconds from its endpoint to its event."""
    losses: list[str] = field(default_factory=list)
    """What was given up, or failed."""
    transcripts: TranscriptCounts = field(default_factory=TranscriptCounts)

    async def emit(self, event: events.Event) -> None:
        """Look at an event."""
        match event:
            case events.Utterance(latency_ms=latency):
                self.latencies.append(max(0.0, latency.total - latency.endpoint))
            case events.Gap(reason=reason):
                self.losses.append(f"gap: {reason}")
            case events.Error(message=message):
                self.losses.append(message)
            case _:
                pass


async def analyse(
    source: AudioSource,
    engine: Engine,
    clock: Clock,
    *,
    sinks: Sequence[Sink] = (),
    session: str = "benchmark",
    status: LiveStatus | None = None,
) -> None:
    """Run the pipeline over a source; the events are written as JSON lines, to nowhere, too."""
    nowhere = JsonlSink(Path(os.devnull))
    await engine.run(source, [*sinks, nowhere], clock, session=session, status=status)

"""`python -m tools.evaluate endpoints`: when utterances end, against turns in RTTM.

Each channel of a recording is cut as the running program does it, once with the fixed endpoint and once with the
adaptive one. Segments of one speaker that lie no more than 1.5 s apart, with nobody else beginning in between, are one
turn. An end of voice within 0.35 s of the end of a turn is `right`; elsewhere inside of a turn the turn was `cut`.
`wait` is the silence from the end of voice until the utterance was known to be over: over the right ends and over all.

With `--corpus` each clip of a manifest's corpora is a turn, between silences: its last end is right, any other cut it.
"""

import argparse
import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from streamer.audio import SAMPLE_RATE, AudioChunk, Gap, Samples
from streamer.clock import VirtualClock
from streamer.errors import UserError
from streamer.settings import load as configuration
from streamer.settings.tree import Segmentation
from streamer.sources.recording.source import RecordingSource
from streamer.speech import SpeechEnded, SpeechStarted
from streamer.speech.registry import make_segmenter
from streamer.speech.segmenter import SegmenterEvent
from tools.command_line import add_set, overrides_of
from tools.data.decoding import decode
from tools.data.manifest import read_manifest
from tools.evaluate.metrics import draws
from tools.evaluate.output import write_json
from tools.evaluate.rttm import Annotated, Turn, find_annotated
from tools.printing import print_rows
from tools.progress import progress

BREATH = 1.5
"""Seconds of silence that a turn may hold."""
NEAR = 0.35
"""Seconds by which the end of a voice may miss that of its turn."""
_AWAY = 0.15
"""Seconds after the beginning of a turn from which on it can be cut."""
_QUIET = 3 * SAMPLE_RATE // 2
"""Samples of silence before and after a clip."""
_HISS = 3e-4
"""Deviation (-70 dB) of that silence: noise, as no room is without it."""


@dataclass(frozen=True, slots=True)
class Endpoints:
    """How the utterances of one channel ended."""

    ends: int
    cut: int
    """Turns."""
    right: tuple[float, ...]
    """Seconds waited at each end of a turn that was found."""
    waits: tuple[float, ...]
    """Seconds waited at every end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder of recordings, each with a FILE.rttm, or of clips with a manifest.csv",
    )
    parser.add_argument(
        "--corpus", nargs="+", help="corpora of the manifest whose clips are turns (default: RTTM)"
    )
    parser.add_argument("--language", help="of these clips, ISO 639-1 (default: any)")
    parser.add_argument("--clips", type=int, default=60, help="of these, drawn (default 60)")
    add_set(parser)
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    annotated = [] if arguments.corpus else find_annotated(arguments.data)
    clips = drawn(arguments) if arguments.corpus else []
    result: dict[str, Any] = {}
    for endpoint in ("fixed", "adaptive"):
        overrides = overrides_of(arguments) | {"segmentation.endpoint": endpoint}
        settings = configuration.load(overrides=overrides).segmentation
        found = [
            channel
            for one in progress(annotated, f"Segmenting ({endpoint})")
            for channel in asyncio.run(cut(one, settings))
        ]
        found += [alone(clip, settings) for clip in progress(clips, f"Clips ({endpoint})")]
        result[endpoint] = report(found)
    _print(f"{arguments.data}", result)
    write_json(arguments.json, result)


async def cut(annotated: Annotated, settings: Segmentation) -> list[Endpoints]:
    """Return how the utterances of each channel end."""
    async with RecordingSource(annotated.file, VirtualClock(), dual_mono=False) as source:
        by_channel = annotated.by_channel(len(source.info.channels))
        segmenters = [make_segmenter(settings, channel) for channel in range(len(by_channel))]
        events: list[list[SegmenterEvent]] = [[] for _ in segmenters]
        async for item in source:
            segmenter = segmenters[item.channel]
            if isinstance(item, Gap):
                events[item.channel].extend(segmenter.gap(item.start, item.end))
            else:
                events[item.channel].extend(segmenter.push(item))
    # What the end of the recording ends was not decided by the endpoint: no flush.
    return [
        compare(decided(heard), spoken)
        for heard, spoken in zip(events, map(joined, by_channel), strict=True)
    ]


def drawn(arguments: argparse.Namespace) -> list[Samples]:
    """Return clips of the corpora, the same ones every time.

    Raises:
        UserError: There are none.
    """
    files = [
        arguments.data / clip.path
        for clip in read_manifest(arguments.data)
        if clip.corpus in arguments.corpus and arguments.language in (None, clip.language)
    ]
    if not files:
        raise UserError(f"{arguments.data}: no clips of {', '.join(arguments.corpus)}")
    random.Random(1).shuffle(files)
    return [decode(file) for file in files[: arguments.clips]]


def alone(clip: Samples, settings: Segmentation) -> Endpoints:
    """Return how utterances end in a clip that is one turn, with silence around it."""
    hiss = np.random.default_rng(1).normal(0, _HISS, len(clip) + 2 * _QUIET).astype(np.float32)
    hiss[_QUIET:-_QUIET] += clip
    ends = decided([*make_segmenter(settings, 0).push(AudioChunk(0, 0, hiss))])
    waits = tuple((end.at - end.voice_end) / SAMPLE_RATE for end in ends)
    return Endpoints(len(ends), max(0, len(ends) - 1), waits[-1:], waits)


def decided(events: Sequence[SegmenterEvent]) -> list[SpeechEnded]:
    """Return the ends of utterances that silence made: not the places where a long one was split.

    The part after a split begins with it. After a short silence, too, the next utterance may begin where the last
    one ended, by its pre-roll, but that is known later.
    """
    return [
        event
        for event, after in zip_longest(events, events[1:])
        if isinstance(event, SpeechEnded)
        and not (isinstance(after, SpeechStarted) and after.at == event.at)
    ]


def joined(segments: Sequence[Turn]) -> list[tuple[float, float]]:
    """Return the turns of a channel, in seconds: segments of one speaker with only breath in between."""
    turns: list[tuple[float, float]] = []
    for speaker in sorted({segment.speaker for segment in segments}):
        own = sorted((s.start, s.end) for s in segments if s.speaker == speaker)
        others = [s.start for s in segments if s.speaker != speaker]
        first, last = own[0]
        for start, end in own[1:]:
            interrupted = any(last - 0.2 <= other < start for other in others)
            if start - last <= BREATH and not interrupted:
                last = max(last, end)
            else:
                turns.append((first, last))
                first, last = start, end
        turns.append((first, last))
    return turns


def compare(utterances: Sequence[SpeechEnded], turns: Sequence[tuple[float, float]]) -> Endpoints:
    """Return which ends of utterances are ends of turns, and which cut one."""
    cuts = 0
    right: list[float] = []
    waits: list[float] = []
    for utterance in utterances:
        end = utterance.voice_end / SAMPLE_RATE
        wait = (utterance.at - utterance.voice_end) / SAMPLE_RATE
        waits.append(wait)
        if any(abs(end - last) <= NEAR for _, last in turns):
            right.append(wait)
        elif any(first + _AWAY < end < last - NEAR for first, last in turns):
            cuts += 1
    return Endpoints(len(utterances), cuts, tuple(right), tuple(waits))


def report(channels: Sequence[Endpoints]) -> dict[str, Any]:
    """Return the figures as they stand in JSON, with 95 % intervals over resampled channels."""
    right = [wait for channel in channels for wait in channel.right]
    waits = [wait for channel in channels for wait in channel.waits]
    cuts = np.array([channel.cut for channel in channels])
    low, high = np.percentile(draws(len(channels)) @ cuts, (2.5, 97.5))
    return {
        "channels": len(channels),
        "ends": sum(channel.ends for channel in channels),
        "cut": {"value": int(cuts.sum()), "low": float(low), "high": float(high)},
        "right": len(right),
        "wait": {name: _spread(some) for name, some in (("right", right), ("all", waits))},
    }


def _spread(waits: Sequence[float]) -> dict[str, float | None]:
    if not waits:
        return dict.fromkeys(("median", "mean", "p95"))
    return {
        "median": round(float(np.median(waits)), 3),
        "mean": round(float(np.mean(waits)), 3),
        "p95": round(float(np.percentile(waits, 95)), 3),
    }


def _print(title: str, result: Mapping[str, Any]) -> None:
    rows = []
    for endpoint, part in result.items():
        cuts, wait = part["cut"], part["wait"]["right"]
        interval = f"{cuts['value']} [{cuts['low']:.0f}-{cuts['high']:.0f}]"
        waits = (f"{wait[name]} s" for name in ("median", "mean", "p95"))
        rows.append((endpoint, part["ends"], interval, part["right"], *waits))
    columns = ("endpoint", "ends", "turns cut", "turns ended", "median wait", "mean", "p95")
    print_rows(title, columns, rows)

"""Thousands of utterances in one conversation, as fast as they go: memory and cost must not grow with its length.

The utterances are the beginnings of those of the sample call, a second each; with `--data`, the recordings of a folder,
one after the other, with as much silence behind each. Mono ones change the channel, so that two speakers converse.
"""

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil

from streamer import events
from streamer.audio import to_samples
from streamer.clock import VirtualClock
from tools.benchmark import calls
from tools.benchmark.measuring import conditions, write_json
from tools.printing import print_rows

_SETTLING = 0.2
"""Share of the run that no slope is drawn through: caches fill, allocators take what they need."""

_SHOWN = 10
"""Rows of the table."""

_LONGEST = 120.0
"""Seconds of each recording that are played at most."""


@dataclass(frozen=True)
class Point:
    """A stretch of the conversation."""

    utterances: int
    """Since the beginning."""
    hours: float
    """Where it ends."""
    memory_mb: float
    """Resident memory at its end."""
    cpu_ms: float
    """CPU time for each utterance of it, with the silence behind it."""


@dataclass(frozen=True)
class Slope:
    """How much something grows in 10,000 utterances, with its 95 % interval."""

    value: float
    margin: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    calls.add_data_option(parser)
    parser.add_argument("--utterances", type=int, default=10_000, help="how many (default 10000)")
    parser.add_argument("--hours", type=float, help="of audio, instead of --utterances")
    parser.add_argument("--points", type=int, default=50, help="stretches measured (default 50)")
    parser.add_argument(
        "--asr", choices=calls.ASR, default=calls.KNOWN, help=f"transcriber (default {calls.KNOWN})"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    clock = VirtualClock()
    with calls.load_engine(arguments.asr) as engine:
        recordings = [calls.read_call(path) for path in calls.recordings(arguments.data)]
        segmentation = engine.settings.segmentation
        brief = None if arguments.data else calls.brief_call(recordings[0], segmentation)
        call = brief or composed(recordings)
        seconds = arguments.utterances * calls.BRIEF_SECONDS
        if arguments.hours:
            seconds = 3600 * arguments.hours
        source = calls.Endless(call, clock, seconds=seconds, live=False)
        meter = Meter(seconds / arguments.points)
        asyncio.run(calls.analyse(source, engine, clock, sinks=[meter]))
    settled = [point for point in meter.points if 3600 * point.hours > _SETTLING * seconds]
    counts = [point.utterances / 10_000 for point in settled]
    memory = slope(counts, [point.memory_mb for point in settled])
    cost = slope(counts, [point.cpu_ms for point in settled])
    _print(meter.points)
    print(
        f"Behind the first {_SETTLING:.0%}, 10,000 utterances add {memory.value:+.2f} ± {memory.margin:.2f} MB, "
        f"and {cost.value:+.3f} ± {cost.margin:.3f} ms to the cost of each."
    )
    results = {"points": meter.points, "memory_mb": memory, "cpu_ms": cost}
    write_json(arguments.json, "soak", results)


def composed(recordings: Sequence[calls.Call]) -> calls.Call:
    """Return two channels of all recordings in turn."""
    pieces = []
    for number, recording in enumerate(recordings):
        samples = recording.samples[:2, : to_samples(_LONGEST)]
        if len(samples) == 1:
            pair = np.zeros((2, samples.shape[1]), np.float32)
            pair[number % 2] = samples[0]
            samples = pair
        pieces += [samples, np.zeros_like(samples)]
    return calls.Call("composed", ("first", "second"), np.concatenate(pieces, axis=1))


class Meter(calls.Tally):
    """A sink that reads memory and CPU time at the first utterance behind each so many seconds."""

    def __init__(self, every: float) -> None:
        super().__init__()
        self.points: list[Point] = []
        self._every = every
        self._utterances = 0
        self._process = psutil.Process(os.getpid())
        self._cpu = time.process_time()

    async def emit(self, event: events.Event) -> None:
        """Look at an event."""
        await super().emit(event)
        count = len(self.latencies)
        if (
            isinstance(event, events.Utterance)
            and event.end >= (len(self.points) + 1) * self._every
        ):
            cpu = time.process_time()
            cost = 1000 * (cpu - self._cpu) / (count - self._utterances)
            memory = self._process.memory_info().rss / 1e6
            self.points.append(Point(count, event.end / 3600, memory, cost))
            self._cpu, self._utterances = cpu, count


def slope(x: Sequence[float], y: Sequence[float]) -> Slope:
    """Return the slope of the straight line through points with the least squares; nan for fewer than 3."""
    if len(x) < 3:
        return Slope(float("nan"), float("nan"))
    away = np.asarray(x) - np.mean(x)
    spread = float((away**2).sum())
    value = float(away @ np.asarray(y)) / spread
    rest = np.asarray(y) - np.mean(y) - value * away
    error = (float((rest**2).sum()) / (len(x) - 2) / spread) ** 0.5
    return Slope(value, 1.96 * error)


def _print(points: Sequence[Point]) -> None:
    rows = [
        (f"{p.utterances:,}", f"{p.hours:.2f}", f"{p.memory_mb:.1f}", f"{p.cpu_ms:.1f}")
        for p in points[:: max(1, -(-len(points) // _SHOWN))]
    ]
    columns = ("utterances", "hours", "memory MB", "CPU ms / utterance")
    print_rows("One conversation", columns, rows, caption=conditions())

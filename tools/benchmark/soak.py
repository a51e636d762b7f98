"""Hours of one conversation, as fast as they go: memory and cost must not grow with its length."""

import argparse
import asyncio
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from streamer import events
from streamer.clock import VirtualClock
from tools.benchmark import calls
from tools.benchmark.measuring import conditions, one_thread, write_json

_SETTLING = 0.2
"""Share of the run that no slope is drawn through: caches fill, allocators take what they need."""

_SHOWN = 10
"""Rows of the table."""


@dataclass(frozen=True)
class Point:
    """A stretch of the conversation."""

    hours: float
    """Where it ends."""
    utterances: int
    """Since the beginning."""
    memory_mb: float
    """Resident memory at its end."""
    cpu_ms: float
    """CPU time for each second of it."""


@dataclass(frozen=True)
class Slope:
    """How much something grows in an hour of audio, with its 95 % interval."""

    value: float
    margin: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    parser.add_argument("--hours", type=float, default=2.0, help="of audio (default 2)")
    parser.add_argument("--points", type=int, default=50, help="stretches measured (default 50)")
    parser.add_argument(
        "--asr", choices=calls.ASR, default=calls.KNOWN, help=f"transcriber (default {calls.KNOWN})"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measures and prints."""
    call = calls.read_call(calls.recordings(None)[0])
    clock = VirtualClock()
    seconds = arguments.hours * 3600
    source = calls.Endless(call, clock, seconds=seconds, live=False)
    meter = Meter(seconds / arguments.points)
    with calls.load_engine(arguments.asr) as engine, one_thread():
        asyncio.run(calls.analyse(source, engine, clock, sinks=[meter]))
    settled = [point for point in meter.points if point.hours > _SETTLING * arguments.hours]
    hours = [point.hours for point in settled]
    memory = slope(hours, [point.memory_mb for point in settled])
    cost = slope(hours, [point.cpu_ms for point in settled])
    _print(meter.points, arguments.hours)
    print(
        f"Behind the first {_SETTLING:.0%}, an hour of audio adds {memory.value:+.2f} ± {memory.margin:.2f} MB, "
        f"and {cost.value:+.3f} ± {cost.margin:.3f} ms to each second's cost."
    )
    results = {"points": meter.points, "memory_mb_per_hour": memory, "cpu_ms_per_hour": cost}
    write_json(arguments.json, "soak", results)


class Meter(calls.Tally):
    """A sink that reads memory and CPU time whenever so many seconds of audio have been analysed."""

    def __init__(self, every: float) -> None:
        super().__init__()
        self.points: list[Point] = []
        self._every = every
        self._process = psutil.Process(os.getpid())
        self._reached = 0.0
        self._cpu = time.process_time()

    async def emit(self, event: events.Event) -> None:
        """Look at an event."""
        await super().emit(event)
        if isinstance(event, events.Utterance) and event.end >= self._reached + self._every:
            cpu = time.process_time()
            self.points.append(
                Point(
                    event.end / 3600,
                    len(self.latencies),
                    self._process.memory_info().rss / 1e6,
                    1000 * (cpu - self._cpu) / (event.end - self._reached),
                )
            )
            self._reached, self._cpu = event.end, cpu


def slope(x: Sequence[float], y: Sequence[float]) -> Slope:
    """The slope of the straight line through points with the least squares; nan for fewer than 3."""
    if len(x) < 3:
        return Slope(float("nan"), float("nan"))
    away = np.asarray(x) - np.mean(x)
    spread = float((away**2).sum())
    value = float(away @ np.asarray(y)) / spread
    rest = np.asarray(y) - np.mean(y) - value * away
    error = (float((rest**2).sum()) / (len(x) - 2) / spread) ** 0.5
    return Slope(value, 1.96 * error)


def _print(points: Sequence[Point], hours: float) -> None:
    table = Table(title=f"One conversation of {hours:g} hours", caption=conditions())
    for column in ("hours", "utterances", "memory MB", "CPU ms / s of audio"):
        table.add_column(column, justify="right")
    for point in points[:: max(1, -(-len(points) // _SHOWN))]:
        table.add_row(
            f"{point.hours:.2f}",
            f"{point.utterances:,}",
            f"{point.memory_mb:.1f}",
            f"{point.cpu_ms:.1f}",
        )
    Console().print(table)

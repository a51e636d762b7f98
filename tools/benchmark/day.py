"""A day of conversation, as fast as it goes: memory and cost of each hour.

The recordings of a folder are played one after the other, over and over, with as much silence behind each; mono ones
change the channel, so that two speakers converse.
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
from rich.console import Console
from rich.table import Table

from streamer import events
from streamer.audio import to_samples
from streamer.clock import VirtualClock
from tools.benchmark import calls
from tools.benchmark.measuring import conditions, write_json
from tools.threads import one_thread

_LONGEST = 120.0
"""Seconds of each recording that are played at most."""


@dataclass(frozen=True)
class Hour:
    """An hour of the conversation."""

    number: int
    utterances: int
    memory_mb: float
    """Resident memory at its end."""
    cpu_seconds: float
    """CPU time of it."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--data", type=Path, help="folder of recordings (default: the sample call)")
    parser.add_argument("--hours", type=float, default=24.0, help="of audio (default 24)")
    parser.add_argument(
        "--asr", choices=calls.ASR, default="none", help="transcriber (default none)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure and prints."""
    clock = VirtualClock()
    call = composed([calls.read_call(path) for path in calls.recordings(arguments.data)])
    with calls.load_engine(arguments.asr) as engine, one_thread():
        source = calls.Endless(call, clock, seconds=3600 * arguments.hours, live=False)
        meter = HourMeter()
        asyncio.run(calls.analyse(source, engine, clock, sinks=[meter]))
    _print(meter.hours)
    if len(meter.hours) > 1:
        settled = [hour.memory_mb for hour in meter.hours]
        print(
            f"{len(meter.losses)} gaps and errors; behind the first hour memory grows by"
            f" {max(settled) - settled[0]:+.1f} MB at most, {settled[-1] - settled[0]:+.1f} MB at the end."
        )
    write_json(arguments.json, "day", {"hours": meter.hours})


def composed(recordings: Sequence[calls.Call]) -> calls.Call:
    """Two channels of all recordings in turn."""
    pieces = []
    for number, recording in enumerate(recordings):
        samples = recording.samples[:2, : to_samples(_LONGEST)]
        if len(samples) == 1:
            pair = np.zeros((2, samples.shape[1]), np.float32)
            pair[number % 2] = samples[0]
            samples = pair
        pieces += [samples, np.zeros_like(samples)]
    return calls.Call("a day", ("first", "second"), np.concatenate(pieces, axis=1))


class HourMeter(calls.Tally):
    """A sink that reads memory and CPU time at the end of every hour of audio."""

    def __init__(self) -> None:
        super().__init__()
        self.hours: list[Hour] = []
        self._utterances = 0
        self._process = psutil.Process(os.getpid())
        self._cpu = time.process_time()

    async def emit(self, event: events.Event) -> None:
        """Look at an event."""
        await super().emit(event)
        if not isinstance(event, events.Utterance | events.SessionEnded):
            return
        self._utterances += isinstance(event, events.Utterance)
        end = event.end if isinstance(event, events.Utterance) else event.duration
        if end < 3600 * (len(self.hours) + 1):
            return
        cpu, before = time.process_time(), self._cpu
        memory = self._process.memory_info().rss / 1e6
        self.hours.append(Hour(len(self.hours) + 1, self._utterances, memory, cpu - before))
        self._cpu, self._utterances = cpu, 0
        print(self.hours[-1], flush=True)


def _print(hours: Sequence[Hour]) -> None:
    table = Table(title="A day", caption=conditions())
    for column in ("hour", "utterances", "memory MB", "CPU s"):
        table.add_column(column, justify="right")
    for hour in hours:
        table.add_row(
            str(hour.number),
            f"{hour.utterances:,}",
            f"{hour.memory_mb:.1f}",
            f"{hour.cpu_seconds:.1f}",
        )
    Console().print(table)

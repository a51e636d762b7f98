"""A graphics card beside the processor: the same calls on both, their labels and how long they take.

To be run by a person where there is a card: `python -m tools.benchmark gpu --data CALLS --json gpu.json`. Many calls
are analysed at the same time in one process, so that their windows are classified in batches.
"""

import argparse
import asyncio
import sys
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamer.api import Engine, make_source
from streamer.clock import VirtualClock
from streamer.events import Event, SessionEnded, Utterance
from streamer.process import exempt_from_collection, one_thread_per_computation
from streamer.registry import SourceContext
from streamer.settings import load as configuration
from streamer.sinks import Sink
from tools.benchmark import calls
from tools.benchmark.measuring import conditions, write_json

GOAL = 0.999
"""Part of the utterances whose labels are to be the processor's."""


@dataclass(frozen=True)
class Result:
    """Both compared."""

    device: str
    calls: int
    hours: float
    utterances: int
    equal: float
    """Part of the utterances that have the same label, or none, on both."""
    largest_difference: float
    """Of a probability."""
    hours_per_second: float
    hours_per_second_cpu: float
    """Of audio; one process, loading not counted."""


class Labels(Sink):
    """Keeps the utterances of all calls, and how long those were."""

    def __init__(self) -> None:
        self.found: dict[tuple[str, str], Utterance] = {}
        self.seconds = 0.0

    async def emit(self, event: Event) -> None:
        """See `Sink.emit`."""
        if isinstance(event, Utterance):
            self.found[event.session, event.utterance] = event
        elif isinstance(event, SessionEnded):
            self.seconds += event.duration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    calls.add_data_option(parser)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="default cuda")
    parser.add_argument("--jobs", type=int, default=32, help="calls at the same time (default 32)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure, compare and print."""
    files = calls.recordings(arguments.data)
    one_thread_per_computation()
    expected, slow = analyse(files, "cpu", 1)
    found, fast = analyse(files, arguments.device, arguments.jobs)
    result = compare(expected, found, arguments.device, len(files), (slow, fast))
    print(f"{result} ({conditions()})")
    if result.equal < GOAL:
        print(f"labels differ on more than {100 * (1 - GOAL):.1f} % of the utterances")
    write_json(arguments.json, "gpu", {"result": result})


def analyse(files: Sequence[Path], device: str, jobs: int) -> tuple[Labels, float]:
    """Analyse calls, some at the same time; return their labels and the seconds that took."""
    settings = configuration.load(overrides={"asr.backend": "none", "emotion.device": device})
    labels = Labels()
    with Engine.load(settings, lambda line: print(line, file=sys.stderr)) as engine:
        exempt_from_collection()
        began = time.perf_counter()
        asyncio.run(_analyse_all(deque(files), engine, labels, jobs))
        return labels, time.perf_counter() - began


async def _analyse_all(files: deque[Path], engine: Engine, labels: Labels, jobs: int) -> None:
    async def work() -> None:
        while files:
            clock = VirtualClock()
            context = SourceContext(engine.settings.audio, clock)
            await engine.run(make_source(str(files.popleft()), context, {}), [labels], clock)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(jobs, len(files))):
            group.create_task(work())


def compare(
    expected: Labels, found: Labels, device: str, count: int, taken: tuple[float, float]
) -> Result:
    """Compare labels; an utterance that only one of them has counts as different."""
    both = expected.found.keys() & found.found.keys()
    pairs = [(expected.found[key], found.found[key]) for key in both]
    same = sum(one.emotion == other.emotion for one, other in pairs)
    differences = [
        abs(one.probabilities[label] - other.probabilities.get(label, 0.0))
        for one, other in pairs
        for label in one.probabilities
    ]
    every = len(expected.found.keys() | found.found.keys())
    hours = found.seconds / 3600
    return Result(
        device,
        count,
        hours,
        every,
        same / max(1, every),
        max(differences, default=0.0),
        hours / taken[1],
        hours / taken[0],
    )

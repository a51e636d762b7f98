"""How many conversations one process follows in real time: each a call played without end, as a live source.

So many hold if 95 % of the utterances are reported within a bound after their endpoint, and nothing was shed.
The audio comes decoded, as it does from a network or a sound card.
"""

import argparse
import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.api import Engine
from streamer.clock import VirtualClock, WallClock
from streamer.control import LiveStatus
from tools.benchmark import calls
from tools.benchmark.measuring import conditions, on_cores, write_json
from tools.command_line import add_set, overrides_of
from tools.printing import print_rows

_GOLDEN = 0.618034
"""Streams begin at places of the call that are spread as evenly as places can be."""

_RAMP = 1.0
"""Seconds in which the streams begin, one after the other."""


@dataclass(frozen=True)
class Step:
    """So many streams at the same time, and how that went."""

    asr: str
    streams: int
    utterances: int
    p50_ms: float
    p95_ms: float
    """From the endpoint to the event."""
    losses: int
    """Gaps and errors: what was shed, or failed."""
    cores: float
    """CPU seconds of the process for each second."""
    holds: bool
    transcriptions: int = 0
    cancelled: int = 0
    """Of them, begun at a pause after which the speaker went on."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--seconds", type=float, default=30.0, help="of audio at each step (default 30)"
    )
    parser.add_argument("--first", type=int, default=8, help="streams to begin with (default 8)")
    parser.add_argument("--most", type=int, default=512, help="streams at most (default 512)")
    parser.add_argument(
        "--p95", type=float, default=200.0, metavar="MS", help="the bound (default 200)"
    )
    parser.add_argument("--cores", type=int, default=1, help="cores to use (default 1)")
    parser.add_argument(
        "--asr",
        nargs="+",
        choices=calls.ASR,
        default=["none"],
        help="transcribers, each measured (default none; known: text that costs nothing to get)",
    )
    add_set(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    call = calls.read_call(calls.recordings(None)[0])
    steps: list[Step] = []
    found: dict[str, int] = {}
    logging.getLogger("streamer").setLevel(
        logging.ERROR
    )  # losses are counted, not logged one by one
    with on_cores(arguments.cores):
        for asr in arguments.asr:
            with calls.load_engine(
                asr, transcribers=arguments.cores, overrides=overrides_of(arguments)
            ) as engine:
                _warm_up(engine, call)

                def holds(streams: int, asr: str = asr, engine: Engine = engine) -> bool:
                    step = _measure(asr, engine, call, streams, arguments)
                    steps.append(step)
                    return step.holds

                found[asr] = largest(holds, arguments.first, arguments.most)
    _print(steps, found, arguments)
    results = {
        "cores": arguments.cores,
        "call": {"name": call.name, "channels": len(call.channels)},
        "bound_ms": arguments.p95,
        "seconds": arguments.seconds,
        "streams": found,
        "steps": steps,
    }
    write_json(arguments.json, "capacity", results)


def largest(holds: Callable[[int], bool], first: int, most: int) -> int:
    """Return the largest number that holds, to a twentieth: found by doubling, then by halving what is between.

    Args:
        holds: whether a number holds; if it does, smaller ones do, too.
        first: where to begin.
        most: the largest number that is tried.

    Returns:
        0 if not even 1 holds.
    """
    low, high = 0, max(1, min(first, most))
    while holds(high):
        if high == most:
            return most
        low, high = high, min(2 * high, most)
    while high - low > max(1, low // 20):
        middle = (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low


def _warm_up(engine: Engine, call: calls.Call) -> None:
    """Let what happens only the first time happen before the first stream."""
    clock = VirtualClock()
    source = calls.Endless(call, clock, seconds=10.0, live=False)
    asyncio.run(calls.analyse(source, engine, clock))


def _measure(
    asr: str, engine: Engine, call: calls.Call, streams: int, arguments: argparse.Namespace
) -> Step:
    wall, cpu = time.perf_counter(), time.process_time()
    tallies = asyncio.run(_play(engine, call, streams, arguments.seconds))
    wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    latencies = [latency for tally in tallies for latency in tally.latencies]
    losses = sum(len(tally.losses) for tally in tallies)
    # If none was reported at all, each took the whole time at least.
    p50, p95 = np.percentile(latencies or [1000 * arguments.seconds], (50, 95))
    return Step(
        asr,
        streams,
        len(latencies),
        float(p50),
        float(p95),
        losses,
        cpu / wall,
        holds=bool(p95 <= arguments.p95) and not losses,
        transcriptions=sum(tally.transcripts.begun for tally in tallies),
        cancelled=sum(tally.transcripts.cancelled for tally in tallies),
    )


async def _play(
    engine: Engine, call: calls.Call, streams: int, seconds: float
) -> list[calls.Tally]:
    clock = WallClock()
    begun = clock.seconds()

    async def play(number: int) -> calls.Tally:
        await clock.sleep_until(begun + _RAMP * number / streams)
        begin = number * _GOLDEN % 1 * call.seconds
        source = calls.Endless(call, clock, seconds=seconds, live=True, begin=begin)
        status = LiveStatus()
        tally = calls.Tally(transcripts=status.transcripts)
        await calls.analyse(
            source, engine, clock, sinks=[tally], session=f"stream{number}", status=status
        )
        return tally

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(play(number)) for number in range(streams)]
    return [task.result() for task in tasks]


def _print(steps: list[Step], found: dict[str, int], arguments: argparse.Namespace) -> None:
    columns = ("transcriber", "streams", "p50 ms", "p95 ms", "n", "lost", "CPU", "cancelled", "")
    rows = []
    for step in sorted(steps, key=lambda step: (arguments.asr.index(step.asr), step.streams)):
        latency = f"{step.p50_ms:.0f}", f"{step.p95_ms:.0f}"
        counts = step.utterances, step.losses, f"{step.cores:.2f}"
        cancelled = f"{step.cancelled} of {step.transcriptions}"
        outcome = "holds" if step.holds else "too many"
        rows.append((step.asr, step.streams, *latency, *counts, cancelled, outcome))
    title = f"Live conversations at once, cores used: {arguments.cores}"
    print_rows(title, columns, rows, caption=conditions())
    for asr, streams in found.items():
        print(
            f"{streams} conversations with transcriber {asr}: p95 within {arguments.p95:.0f} ms, "
            "nothing shed"
        )

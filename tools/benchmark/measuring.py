"""Timing side by side: all cases take turns, so that what disturbs one disturbs the others too."""

import gc
import json
import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from streamer.errors import UserError
from tools.printing import print_rows


@dataclass(frozen=True)
class Case:
    """Something to be timed."""

    name: str
    call: Callable[[], object]
    units: float = 1.0
    """What one call does, in the units that its cost is given for (seconds of audio, calls)."""
    prepare: Callable[[], object] | None = None
    """Called before each call, outside of the time."""


@dataclass(frozen=True)
class Cost:
    """What a case cost for each unit, in milliseconds."""

    name: str
    cpu_ms: float
    """Median of the CPU time of the process."""
    cpu_ms_low: float
    cpu_ms_high: float
    """First and third quartile."""
    wall_ms: float
    """Median of the time that went by."""
    rounds: int


def alternate(cases: Sequence[Case], rounds: int) -> list[Cost]:
    """Time the cases in turn, `rounds` times after a round that does not count."""
    taken: dict[str, list[tuple[float, float]]] = {case.name: [] for case in cases}
    for turn in range(rounds + 1):
        for case in cases:
            if case.prepare:
                case.prepare()
            gc.collect()
            cpu, wall = time.process_time(), time.perf_counter()
            case.call()
            cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
            if turn:
                taken[case.name].append((1000 * cpu / case.units, 1000 * wall / case.units))
    return [_cost(case.name, taken[case.name]) for case in cases]


def _cost(name: str, taken: Sequence[tuple[float, float]]) -> Cost:
    cpu = [pair[0] for pair in taken]
    low, middle, high = statistics.quantiles(cpu, n=4) if len(cpu) > 1 else cpu * 3
    return Cost(name, middle, low, high, statistics.median(pair[1] for pair in taken), len(taken))


@contextmanager
def on_cores(count: int) -> Iterator[None]:
    """Keep this thread, and the threads and processes that it starts, to so many cores."""
    before = os.sched_getaffinity(0)
    if not 1 <= count <= len(before):
        raise UserError(f"there are {len(before)} cores, not {count}")
    os.sched_setaffinity(0, sorted(before)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def conditions() -> str:
    """Return what a reader must know about the machine to trust a table or not."""
    return f"{os.cpu_count()} cores, load average {os.getloadavg()[0]:.1f}"


def print_costs(title: str, unit: str, costs: Sequence[Cost]) -> None:
    """Print a table of costs."""
    rows = []
    for cost in costs:
        quartiles = f"{cost.cpu_ms_low:.2f} - {cost.cpu_ms_high:.2f}"
        rows.append(
            (cost.name, f"{cost.cpu_ms:.2f}", quartiles, f"{cost.wall_ms:.2f}", cost.rounds)
        )
    columns = ("", f"CPU ms / {unit}", "quartiles", "wall ms", "n")
    print_rows(title, columns, rows, caption=conditions())


def write_json(path: Path | None, benchmark: str, results: dict[str, Any]) -> None:
    """Write what was measured, and where."""
    if path is None:
        return
    machine = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load": os.getloadavg()[0],
    }
    document = {"benchmark": benchmark, "machine": machine, **results}
    text = json.dumps(document, indent=2, default=asdict)
    path.write_text(text + "\n", encoding="utf-8")

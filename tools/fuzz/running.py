"""Trying many cases in a process of their own: what fails, hangs or grows is named by its number."""

import argparse
import multiprocessing
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import psutil

from streamer.errors import UserError

Attempt = Callable[[np.random.Generator], str]
"""Makes and tries one case; gives its outcome in a word. What it raises is a failure."""

Prepare = Callable[[Path], Attempt]
"""Prepares a target, which may write to a folder of its own; called in another process, so a function of a module."""

TIME_LIMIT = 10.0
"""Seconds that a case may take."""
GROWTH_LIMIT = 50.0
"""Megabytes that a case may take beyond what was taken before."""
_WARM_UP = 5
"""Cases in which imports and caches still grow."""


@dataclass(frozen=True)
class Case:
    """What became of a case."""

    number: int
    outcome: str
    failure: str = ""
    seconds: float = 0.0
    growth: float = 0.0
    """Megabytes of its peak above what was taken when it began."""


@dataclass
class Report:
    """What became of all."""

    cases: list[Case] = field(default_factory=list)

    @property
    def failures(self) -> list[Case]:
        """Cases that failed, hung or grew."""
        return [case for case in self.cases if case.failure]

    def __str__(self) -> str:
        outcomes = Counter(case.outcome for case in self.cases)
        slowest = max(self.cases, key=lambda case: case.seconds)
        biggest = max(self.cases, key=lambda case: case.growth)
        lines = [
            f"{len(self.cases)} cases: "
            + ", ".join(f"{count} {outcome}" for outcome, count in outcomes.most_common()),
            f"slowest {slowest.seconds:.2f} s (case {slowest.number})",
            f"biggest {biggest.growth:.1f} MB (case {biggest.number})",
            *(f"case {case.number}: {case.failure}" for case in self.failures),
        ]
        return "\n".join(lines)


def run(
    prepare: Prepare, count: int, seed: int, first: int = 0, growth: float = GROWTH_LIMIT
) -> Report:
    """Try cases `first` to `first + count`; none may take more than `growth` megabytes."""
    report = Report()
    number, end = first, first + count
    while number < end:
        number = _stretch(prepare, seed, range(number, end), growth, report)
    return report


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--count", type=int, default=100, help="cases (default 100)")
    parser.add_argument("--seed", type=int, default=0, help="other cases (default 0)")
    parser.add_argument("--case", type=int, help="only this one")


def command(prepare: Prepare, growth: float = GROWTH_LIMIT) -> Callable[[argparse.Namespace], None]:
    """Return what runs a target: it tries what the arguments say and prints what became of it."""

    def run_target(arguments: argparse.Namespace) -> None:
        if arguments.case is None:
            report = run(prepare, arguments.count, arguments.seed, growth=growth)
        else:
            report = run(prepare, 1, arguments.seed, arguments.case, growth)
        print(report)
        if report.failures:
            raise UserError(f"{len(report.failures)} of {len(report.cases)} cases failed")

    return run_target


def _stretch(prepare: Prepare, seed: int, numbers: range, growth: float, report: Report) -> int:
    """Try cases in one process until it ends or has to be ended; give the next case."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(
        target=_work, args=(prepare, seed, numbers, growth, theirs), daemon=True
    )
    process.start()
    theirs.close()
    number = numbers.start
    limit = 120.0  # imports
    while number < numbers.stop:
        try:
            case: Case | None = ours.recv() if ours.poll(limit) else None
        except EOFError:
            process.join()
            case = Case(number, "crash", f"the process died ({process.exitcode})")
        if case is None:
            case = Case(number, "hang", f"no end after {limit:g} s")
        report.cases.append(case)
        number += 1
        limit = 2 * TIME_LIMIT
        if case.outcome in ("crash", "hang"):
            break
    process.kill()
    process.join()
    ours.close()
    return number


def _work(
    prepare: Prepare, seed: int, numbers: range, growth: float, connection: Connection
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        attempt = prepare(Path(folder))
        for number in numbers:
            warm = number - numbers.start >= _WARM_UP
            connection.send(_tried(attempt, seed, number, growth if warm else float("inf")))


def _tried(attempt: Attempt, seed: int, number: int, limit: float) -> Case:
    before = _reset_peak()
    begun = time.perf_counter()
    failure = ""
    try:
        outcome = attempt(np.random.default_rng([seed, number]))
    except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
        outcome = "error"
        failure = "".join(traceback.format_exception(error))[-1500:]
    seconds = time.perf_counter() - begun
    growth = (_peak() - before) / 1e6
    if not failure and seconds > TIME_LIMIT:
        failure = f"took {seconds:.1f} s ({outcome})"
    if not failure and growth > limit:
        failure = f"took {growth:.0f} MB ({outcome})"
    return Case(number, outcome, failure, seconds, growth)


def _reset_peak() -> int:
    """Forget the peak of resident memory so far; give what is taken now, in bytes."""
    Path("/proc/self/clear_refs").write_text("5")
    return int(psutil.Process().memory_info().rss)


def _peak() -> int:
    """Return the peak of resident memory since it was forgotten, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM"):
            return int(line.split()[1]) * 1024
    return 0

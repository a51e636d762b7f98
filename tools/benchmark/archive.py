"""An archive of calls, as `streamer replay --speed max --jobs N` goes through it: hours of calls in an hour.

Each case is the program itself, from its start to its end, so the loading of the models is in the figures
(and counts for less, the larger the archive is).
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from streamer.errors import UserError
from streamer.sources.decoder import Decoder
from tools.benchmark import calls
from tools.benchmark.measuring import conditions, on_cores, write_json

_REPLAY = [sys.executable, "-m", "streamer.cli", "replay", "--speed", "max", "--quiet"]


@dataclass(frozen=True)
class Case:
    """A way to go through the archive."""

    name: str
    cores: int
    processes: int
    jobs: int


@dataclass(frozen=True)
class Result:
    """How fast that was."""

    name: str
    hours_per_hour: float
    """Median of the rounds."""
    cpu_ms: float
    """CPU milliseconds for each second of a call, median."""
    rounds: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declares the options."""
    calls.add_data_option(parser)
    parser.add_argument(
        "--hours",
        type=float,
        default=1.0,
        help="size of the archive: the recordings, as often as needed (default 1)",
    )
    parser.add_argument(
        "--jobs", type=int, default=0, metavar="N", help="jobs (default: one for each core)"
    )
    parser.add_argument("--rounds", type=int, default=3, help="runs of each case (default 3)")
    parser.add_argument(
        "--asr", choices=calls.BACKENDS, default="none", help="transcriber (default none)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measures and prints."""
    cores = len(os.sched_getaffinity(0))
    jobs = arguments.jobs or cores
    cases = [Case("1 job, 1 core", 1, 1, 1), Case(f"{jobs} jobs, 1 core", 1, 1, jobs)]
    if cores > 1:
        cases.append(Case(f"{jobs} jobs, {cores} cores", cores, 1, jobs))
        cases.append(Case(f"{cores} processes, {cores} cores", cores, cores, 1))
    with tempfile.TemporaryDirectory() as folder:
        files, hours = _collect(
            calls.recordings(arguments.data), Path(folder), arguments.hours, cores
        )
        taken: dict[str, list[tuple[float, float]]] = {case.name: [] for case in cases}
        for _ in range(arguments.rounds):
            for case in cases:
                taken[case.name].append(_replay(case, files, Path(folder) / "events", arguments))
    results = [
        Result(
            name,
            hours * 3600 / statistics.median(wall for wall, _ in times),
            statistics.median(cpu for _, cpu in times) / (hours * 3.6),
            len(times),
        )
        for name, times in taken.items()
    ]
    _print(results, len(files), hours)
    write_json(arguments.json, "archive", {"hours": hours, "files": len(files), "results": results})


def _collect(
    recordings: Sequence[Path], folder: Path, hours: float, least: int
) -> tuple[list[Path], float]:
    """Links to the recordings, over and over, until they make so many hours; and how many they make."""
    files: list[Path] = []
    seconds = 0.0
    while seconds < hours * 3600 or len(files) < least:
        recording = recordings[len(files) % len(recordings)]
        with Decoder(recording) as decoder:
            duration = decoder.duration
        if not duration:
            raise UserError(f"{recording}: its length is not known")
        link = folder / f"{len(files):05}{recording.suffix}"
        link.symlink_to(recording.resolve())
        files.append(link)
        seconds += duration
    return files, seconds / 3600


def _replay(
    case: Case, files: Sequence[Path], events: Path, arguments: argparse.Namespace
) -> tuple[float, float]:
    """Seconds that went by, and CPU seconds of all processes."""
    options = ["--jobs", str(case.jobs), "--set", f"asr.backend={arguments.asr}"]
    before = os.times()
    wall = time.perf_counter()
    with on_cores(case.cores):
        running = [
            subprocess.Popen(
                [*_REPLAY, *options, "--jsonl", f"{events}/", *files[part :: case.processes]],
                stderr=subprocess.PIPE,
                text=True,
            )
            for part in range(case.processes)
        ]
    for process in running:
        said = process.communicate()[1].strip()
        if process.returncode:
            raise UserError(f"replay failed: {said}")
    wall = time.perf_counter() - wall
    after = os.times()
    used = after.children_user + after.children_system
    return wall, used - before.children_user - before.children_system


def _print(results: Sequence[Result], files: int, hours: float) -> None:
    title = f"An archive of {files} calls, {hours:.2f} hours, loading counted"
    table = Table(title=title, caption=conditions())
    for column in ("", "hours in an hour", "CPU ms / s of call", "n"):
        table.add_column(column, justify="right" if column else "left")
    for result in results:
        table.add_row(
            result.name,
            f"{result.hours_per_hour:.1f}",
            f"{result.cpu_ms:.1f}",
            str(result.rounds),
        )
    Console().print(table)

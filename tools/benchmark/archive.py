"""An archive of calls, as `streamer replay --speed max --jobs N` goes through it: hours of calls in an hour.

Each case is the program itself, from its start to its end. How long it takes to load everything is measured
beside it, with a call of no length, because it counts for less, the larger the archive is.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from streamer.audio import SAMPLE_RATE
from streamer.errors import UserError
from streamer.sources.recording.decoder import Decoder
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
    """Median of the rounds, loading counted."""
    loaded_hours_per_hour: float
    """The same without the time that loading takes."""
    cpu_ms: float
    """CPU milliseconds for each second of a call, median."""
    rounds: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
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
    """Measure and prints."""
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
        nothing = _empty_call(Path(folder) / "nothing.wav")
        loading: list[float] = []
        taken: dict[str, list[tuple[float, float]]] = {case.name: [] for case in cases}
        for _ in range(arguments.rounds):
            loading.append(_replay(cases[0], [nothing], Path(folder) / "events", arguments)[0])
            for case in cases:
                taken[case.name].append(_replay(case, files, Path(folder) / "events", arguments))
    load = statistics.median(loading)
    results = [_result(name, times, hours, load) for name, times in taken.items()]
    _print(results, len(files), hours, load)
    gain = None
    if cores > 1:
        gain = results[2].loaded_hours_per_hour / results[0].loaded_hours_per_hour
        print(f"{results[2].name}: {gain:.2f} times {results[0].name}, without loading")
    figures = {
        "hours": hours,
        "files": len(files),
        "loading_s": load,
        "results": results,
        "times_one_core": gain,
    }
    write_json(arguments.json, "archive", figures)


def _result(
    name: str, times: Sequence[tuple[float, float]], hours: float, loading: float
) -> Result:
    wall = statistics.median(wall for wall, _ in times)
    cpu = statistics.median(cpu for _, cpu in times)
    return Result(
        name,
        hours * 3600 / wall,
        hours * 3600 / max(wall - loading, 1e-3),
        cpu / (hours * 3.6),
        len(times),
    )


def _empty_call(file: Path) -> Path:
    with wave.open(str(file), "wb") as writer:
        writer.setnchannels(2)
        writer.setsampwidth(2)
        writer.setframerate(SAMPLE_RATE)
    return file


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


def _print(results: Sequence[Result], files: int, hours: float, loading: float) -> None:
    title = f"An archive of {files} calls, {hours:.2f} hours; loading takes {loading:.1f} s"
    table = Table(title=title, caption=conditions())
    for column in ("", "hours in an hour", "without loading", "CPU ms / s of call", "n"):
        table.add_column(column, justify="right" if column else "left")
    for result in results:
        table.add_row(
            result.name,
            f"{result.hours_per_hour:.1f}",
            f"{result.loaded_hours_per_hour:.1f}",
            f"{result.cpu_ms:.1f}",
            str(result.rounds),
        )
    Console().print(table)

"""An archive of calls, as `streamer replay --speed max` or `streamer archive` go through it: hours of calls in an hour.

Each case is the program itself, from its start to its end. How long it takes to load everything is measured beside it,
with a call of no length, because it counts for less, the larger the archive is; what a call costs beside its audio,
with many of those.
"""

import argparse
import os
import shutil
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import wave
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from streamer.archive.ledger import FILE
from streamer.audio import SAMPLE_RATE
from streamer.errors import UserError
from streamer.sources.recording.decoder import Decoder
from tools.benchmark import calls
from tools.benchmark.measuring import conditions, on_cores, write_json
from tools.printing import print_rows

_REPLAY = [sys.executable, "-m", "streamer.cli", "replay", "--speed", "max", "--quiet"]
_ARCHIVE = [sys.executable, "-m", "streamer.cli", "archive", "--engine"]
_EMPTY = 30
"""Calls of no length, to measure what each costs."""


@dataclass(frozen=True)
class Case:
    """A way to go through the archive."""

    name: str
    cores: int
    processes: int
    jobs: int
    engine: str = "replay"


@dataclass(frozen=True)
class Result:
    """How fast that was."""

    name: str
    hours_per_hour: float
    """Median of the rounds, loading counted."""
    loaded_hours_per_hour: float
    """The same without the time that loading takes."""
    cpu_ms: float
    """CPU milliseconds for each second of a call, median; of Ray's workers without what Ray itself needs."""
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
        "--engine",
        nargs="+",
        choices=("replay", "local", "ray"),
        default=["replay"],
        help="what goes through it: streamer replay (default), or streamer archive with these engines",
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
    """Measure and print."""
    cores = len(os.sched_getaffinity(0))
    cases = [case for engine in arguments.engine for case in _cases(engine, cores, arguments.jobs)]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recordings = calls.recordings(arguments.data)
        files, hours = _collect(recordings, folder, arguments.hours, cores)
        nothing = [_empty_call(folder / f"nothing{number}.wav") for number in range(_EMPTY)]
        loading: dict[str, list[float]] = {engine: [] for engine in arguments.engine}
        empty: dict[str, list[float]] = {engine: [] for engine in arguments.engine}
        taken: dict[str, list[tuple[float, float]]] = {case.name: [] for case in cases}
        for _ in range(arguments.rounds):
            for engine in arguments.engine:
                alone = Case(engine, 1, 1, 1, engine)
                loading[engine].append(_go(alone, nothing[:1], folder, arguments.asr)[0])
                empty[engine].append(_go(alone, nothing, folder, arguments.asr)[0])
            for case in cases:
                taken[case.name].append(_go(case, files, folder, arguments.asr))
    starts = {engine: statistics.median(times) for engine, times in loading.items()}
    each_ms = {
        engine: 1000 * (statistics.median(empty[engine]) - start) / (_EMPTY - 1)
        for engine, start in starts.items()
    }
    results = [_result(case.name, taken[case.name], hours, starts[case.engine]) for case in cases]
    _print(results, len(files), hours)
    for engine, start in starts.items():
        print(f"{engine}: loading {start:.1f} s, {each_ms[engine]:.0f} ms a call beside its audio")
    gain = None
    if cores > 1:
        chosen = results[2 if arguments.engine[0] == "replay" else 1]
        gain = chosen.loaded_hours_per_hour / results[0].loaded_hours_per_hour
        print(f"{chosen.name}: {gain:.2f} times {results[0].name}, without loading")
    figures = {
        "hours": hours,
        "files": len(files),
        "loading_s": starts[arguments.engine[0]],
        "call_ms": each_ms,
        "results": results,
        "times_one_core": gain,
    }
    write_json(arguments.json, "archive", figures)


def _cases(engine: str, cores: int, jobs: int) -> list[Case]:
    """Return cases on one core and on all; of a replay also as several programs."""
    jobs = jobs or cores
    if engine != "replay":
        one = Case(f"{engine}, 1 job, 1 core", 1, 1, 1, engine)
        every = Case(f"{engine}, {cores} jobs, {cores} cores", cores, 1, cores, engine)
        return [one, every] if cores > 1 else [one]
    cases = [Case("1 job, 1 core", 1, 1, 1), Case(f"{jobs} jobs, 1 core", 1, 1, jobs)]
    if cores > 1:
        cases.append(Case(f"{jobs} jobs, {cores} cores", cores, 1, jobs))
        cases.append(Case(f"{cores} processes, {cores} cores", cores, cores, 1))
    return cases


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
    """Return links to the recordings, over and over, until they make so many hours; and how many they make."""
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


def _go(case: Case, files: Sequence[Path], folder: Path, asr: str) -> tuple[float, float]:
    """Return seconds that went by, and CPU seconds of all processes."""
    out = folder / "out"
    shutil.rmtree(out, ignore_errors=True)
    listed = folder / "list.txt"
    listed.write_text("".join(f"{file}\n" for file in files))
    options = ["--jobs", str(case.jobs), "--set", f"asr.backend={asr}"]
    before = os.times()
    wall = time.perf_counter()
    with on_cores(case.cores):
        running = [
            subprocess.Popen(
                [*_REPLAY, *options, "--jsonl", f"{out}/", *files[part :: case.processes]]
                if case.engine == "replay"
                else [*_ARCHIVE, case.engine, *options, "--out", str(out), f"@{listed}"],
                stderr=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                text=True,
            )
            for part in range(min(case.processes, len(files)))
        ]
    for process in running:
        said = process.communicate()[1].strip()
        if process.returncode:
            raise UserError(f"{case.engine} failed: {said}")
    wall = time.perf_counter() - wall
    after = os.times()
    used = after.children_user + after.children_system
    used -= before.children_user + before.children_system
    return wall, used + (_cpu_of_workers(out) if case.engine == "ray" else 0.0)


def _cpu_of_workers(out: Path) -> float:
    """Return the CPU seconds of workers that are no children of this process, from the ledger."""
    with closing(sqlite3.connect(out / FILE)) as ledger:
        return float(ledger.execute("SELECT total(cpu) FROM calls").fetchone()[0])


def _print(results: Sequence[Result], files: int, hours: float) -> None:
    title = f"An archive of {files} calls, {hours:.2f} hours"
    rows = []
    for one in results:
        figures = one.hours_per_hour, one.loaded_hours_per_hour, one.cpu_ms
        rows.append((one.name, *(f"{figure:.1f}" for figure in figures), one.rounds))
    columns = ("", "hours in an hour", "without loading", "CPU ms / s of call", "n")
    print_rows(title, columns, rows, caption=conditions())

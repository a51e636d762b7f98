"""How long `streamer --help` takes, and how long until it is ready to listen, beside Python itself.

Ready: the models are loaded and `session_started` has been read from a replay of standard input.
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import UserError
from tools.benchmark import calls
from tools.benchmark.measuring import conditions, write_json
from tools.printing import print_rows

_STREAMER = [sys.executable, "-m", "streamer.cli"]


@dataclass(frozen=True)
class Result:
    """Seconds from the start of a process, medians."""

    name: str
    wall_s: float
    cpu_s: float
    """Of the whole process, its end included."""
    rounds: int


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--rounds", type=int, default=5, help="starts of each kind (default 5)")
    parser.add_argument(
        "--asr",
        nargs="+",
        choices=calls.BACKENDS,
        default=["none", "auto"],
        help="transcribers to be ready with (default none auto)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    cases = {
        "python -c pass": [sys.executable, "-c", "pass"],
        "python -c 'import torch'": [sys.executable, "-c", "import torch"],
        "streamer --help": [*_STREAMER, "--help"],
    }
    for asr in arguments.asr:
        ready = [
            "replay",
            "-",
            "--format",
            "s16le",
            "--jsonl",
            "-",
            "--quiet",
            "--set",
            f"asr.backend={asr}",
        ]
        cases[f"ready, transcriber {asr}"] = [*_STREAMER, *ready]
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in cases}
    for turn in range(arguments.rounds + 1):
        for name, command in cases.items():
            times = _start(command, until_line=name.startswith("ready"))
            if turn:  # the first time, files come from the disk
                taken[name].append(times)
    results = [
        Result(
            name,
            statistics.median(wall for wall, _ in times),
            statistics.median(cpu for _, cpu in times),
            len(times),
        )
        for name, times in taken.items()
    ]
    rows = [(one.name, f"{one.wall_s:.2f}", f"{one.cpu_s:.2f}", one.rounds) for one in results]
    columns = ("", "seconds", "CPU seconds", "n")
    print_rows("From the start of the process", columns, rows, caption=conditions())
    write_json(arguments.json, "startup", {"results": results})


def _start(command: Sequence[str], *, until_line: bool) -> tuple[float, float]:
    """Return seconds until a process ends, or until its first line; and its CPU seconds in all."""
    before = os.times()
    begun = time.perf_counter()
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None  # noqa: S101 - it is a pipe
        if until_line:
            process.stdout.readline()
            wall = time.perf_counter() - begun
        said = process.communicate()[1].strip()
        if not until_line:
            wall = time.perf_counter() - begun
    if process.returncode:
        raise UserError(f"{' '.join(command[1:])}: {said}")
    after = os.times()
    used = after.children_user + after.children_system
    return wall, used - before.children_user - before.children_system

"""Archives that are killed at random moments: whether the next run leaves exactly one whole event file for each call.

Drivers and workers are killed (SIGKILL), drivers interrupted (SIGINT), at seeded moments; each time the same command is
given again. At the end the event files are those of a run that nobody disturbed, and each call is in the tables once.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from streamer.errors import UserError
from tools.benchmark.composed import compose
from tools.benchmark.measuring import conditions, write_json

_LONGEST_WAIT = 300.0
"""Seconds for one more call to be done."""


@dataclass
class Result:
    """What was left after all kills and one run to the end."""

    calls: int
    kills: dict[str, int]
    """How often a driver or worker was killed, or a driver interrupted."""
    runs: int
    missing: list[str] = field(default_factory=list)
    """Calls without an event file."""
    different: list[str] = field(default_factory=list)
    """Calls whose events are not those of the undisturbed run, for example as they are not whole."""
    left_over: list[str] = field(default_factory=list)
    """Files that should not be there."""
    tabled: int = 0
    """Calls in the tables."""
    rows: int = 0
    rows_expected: int = 0
    """Rows of the tables; in the undisturbed run."""

    @property
    def good(self) -> bool:
        """Whether nothing is missing, doubled or broken."""
        wrong = self.missing or self.different or self.left_over
        return not wrong and self.tabled == self.calls and self.rows == self.rows_expected


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--calls", type=int, default=40, help="of 4 to 20 s (default 40)")
    parser.add_argument("--kills", type=int, default=10, help="default 10")
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="default local")
    parser.add_argument("--jobs", type=int, default=2, help="workers (default 2)")
    parser.add_argument("--seed", type=int, default=0, help="default 0")
    parser.add_argument("--bundle", help="emotion.bundle (default: the settings')")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Kill, check and print."""
    with tempfile.TemporaryDirectory() as folder:
        lengths = [4.0 + 16.0 * i / arguments.calls for i in range(arguments.calls)]
        compose(Path(folder) / "calls", lengths, seed=arguments.seed)
        options = ["--engine", arguments.engine, "--jobs", str(arguments.jobs)]
        if arguments.bundle:
            options += ["--set", f"emotion.bundle={arguments.bundle}"]
        result = measure(Path(folder), options, arguments.kills, arguments.seed)
    print(f"{result} ({conditions()})")
    write_json(arguments.json, "kills", {"engine": arguments.engine, "result": result})
    if not result.good:
        raise UserError("calls were lost, doubled or broken")


def measure(folder: Path, options: Sequence[str], kills: int, seed: int) -> Result:
    """Analyse the calls in `folder/calls` undisturbed, and disturbed; compare."""
    chance = random.Random(seed)
    command = [sys.executable, "-m", "streamer.cli", "archive", str(folder / "calls")]
    command += ["--set", "asr.backend=none", *options, "--out"]
    undisturbed, out = folder / "undisturbed", folder / "killed"
    subprocess.run([*command, str(undisturbed)], check=True, stdout=subprocess.DEVNULL)
    total = len(_events(undisturbed))
    done: Counter[str] = Counter()
    runs = 0
    while sum(done.values()) < kills:
        what = chance.choice(("driver killed", "worker killed", "driver interrupted"))
        more = max(1, total // (kills + 1))
        done[what] += _disturb([*command, str(out)], out, chance, what, more)
        runs += 1
        if runs > 5 * kills:
            raise UserError("the archive is done before it can be killed: more --calls")
        if len(_events(out)) >= total:
            _forget_some(out, chance)
    subprocess.run([*command, str(out)], check=False, stdout=subprocess.DEVNULL)
    return _compare(undisturbed, out, dict(done), runs + 1)


def _disturb(
    command: Sequence[str], out: Path, chance: random.Random, what: str, more: int
) -> bool:
    """Start a run; end it or a worker of it up to so many calls later; return whether it was there."""
    before = len(_events(out))
    wanted = before + chance.randrange(more + 1)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + _LONGEST_WAIT
    while process.poll() is None and len(_events(out)) < wanted:
        if time.monotonic() > end:
            raise UserError("the archive does not go on")
        time.sleep(0.01)
    time.sleep(chance.uniform(0, 1.0))
    hit = process.poll() is None
    if hit and what == "worker killed":
        workers = _workers(process.pid)
        hit = bool(workers)
        if workers:
            chance.choice(workers).kill()
        time.sleep(chance.uniform(0, 1.0))
        process.send_signal(signal.SIGINT)
    elif hit:
        process.send_signal(signal.SIGINT if what == "driver interrupted" else signal.SIGKILL)
    process.wait()
    return hit


def _workers(driver: int) -> list[psutil.Process]:
    """Return the processes that analyse."""
    children = psutil.Process(driver).children(recursive=True)
    actors = [child for child in children if "ray::Analyser" in " ".join(child.cmdline())]
    return actors or [child for child in children if child.ppid() == driver]


def _forget_some(out: Path, chance: random.Random) -> None:
    """Remove a third of the event files, so that there is something to do again."""
    found = sorted(_events(out).values())
    for path in chance.sample(found, max(1, len(found) // 3)):
        path.unlink()


def _events(out: Path) -> dict[str, Path]:
    return {path.name: path for path in (out / "events").glob("[!.]*")}


def _compare(undisturbed: Path, out: Path, kills: dict[str, int], runs: int) -> Result:
    from pyarrow import parquet

    expected, found = _events(undisturbed), _events(out)
    result = Result(len(expected), kills, runs)
    result.missing = sorted(expected.keys() - found.keys())
    result.left_over = sorted(
        {path.name for path in (out / "events").iterdir()} - expected.keys()
    ) + sorted(path.name for path in out.rglob(".*"))
    result.different = [
        name
        for name in sorted(expected.keys() & found.keys())
        if comparable(expected[name]) != comparable(found[name])
    ]
    for table in ("utterances", "summaries"):
        result.rows += parquet.read_table(out / table).num_rows
        result.rows_expected += parquet.read_table(undisturbed / table).num_rows
    calls = parquet.read_table(out / "summaries", columns=["call"])["call"].to_pylist()
    result.tabled = len(set(calls))
    return result


def comparable(path: Path) -> list[dict[str, Any]]:
    """Return events of a file without what differs from run to run; a line that is none is kept as it is."""
    events = []
    for line in path.read_bytes().splitlines():
        try:
            event = json.loads(line)
        except ValueError:
            event = {"not an event": line.decode(errors="replace")}
        events.append({k: v for k, v in event.items() if k not in ("time", "latency_ms")})
    return events

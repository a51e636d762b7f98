"""All benchmarks in about five minutes (of a machine with nothing else to do), and one table of what matters.

Each is a process of its own, so that none finds the memory and the threads of another. What cannot be
measured here is said, and the rest goes on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tools.benchmark.analysis import WHOLE
from tools.benchmark.measuring import conditions, write_json
from tools.printing import print_rows

Document = Mapping[str, Any]

SHORT: dict[str, list[str]] = {
    "frontend": ["--seconds", "5", "--rounds", "5"],
    "analysis": ["--rounds", "5"],
    "latency": ["--seconds", "40", "--set", "asr.backend=none"],
    "capacity": ["--seconds", "8", "--first", "32", "--asr", "none", "known"],
    "soak": ["--utterances", "1500", "--points", "30"],
    "archive": ["--hours", "0.5", "--rounds", "1"],
    "startup": ["--rounds", "3"],
    "mqtt": ["--events", "3000", "--rounds", "3", "--single", "100"],
}
"""Each command, and the options that make it short."""


@dataclass(frozen=True)
class Figure:
    """A line of the table."""

    command: str
    name: str
    value: Callable[[Document], str]
    goal: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--only", nargs="+", choices=SHORT, default=list(SHORT), help="leave out the others"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print and write."""
    results: dict[str, Document] = {}
    with tempfile.TemporaryDirectory() as folder:
        for command in arguments.only:
            file = Path(folder) / f"{command}.json"
            print(f"--- {command} {' '.join(SHORT[command])}", flush=True)
            program = [sys.executable, "-m", "tools.benchmark", command, *SHORT[command]]
            done = subprocess.run([*program, "--json", file], check=False)
            if done.returncode == 130:
                raise KeyboardInterrupt
            if done.returncode == 0:
                results[command] = json.loads(file.read_text(encoding="utf-8"))
    _print(results, arguments.only)
    missing = [command for command in arguments.only if command not in results]
    write_json(arguments.json, "all", {"results": results, "missing": missing})


def _print(results: Mapping[str, Document], commands: list[str]) -> None:
    rows = []
    for figure in FIGURES:
        if figure.command in commands:
            document = results.get(figure.command)
            shown = "not measured" if document is None else figure.value(document)
            rows.append((figure.name, shown, figure.goal))
    print_rows("All in short", ("figure", "measured", "goal, idle"), rows, caption=conditions())


def _cost(part: str, name: str) -> Callable[[Document], str]:
    def value(document: Document) -> str:
        return f"{next(c['cpu_ms'] for c in document[part] if c['name'] == name):.2f}"

    return value


def _whole(name: str) -> Callable[[Document], str]:
    """Return the cost of each second of the recording, and of one channel of it."""

    def value(document: Document) -> str:
        cost = next(c["cpu_ms"] for c in document["whole"] if c["name"] == name)
        return f"{cost:.1f} ({cost / document['channels']:.1f} a channel)"

    return value


def _seconds(name: str) -> Callable[[Document], str]:
    def value(document: Document) -> str:
        return f"{next(r['wall_s'] for r in document['results'] if r['name'] == name):.2f}"

    return value


def _slope(name: str) -> Callable[[Document], str]:
    def value(document: Document) -> str:
        slope = document[name]
        return f"{slope['value']:+.2f} ± {slope['margin']:.2f}"

    return value


def _beyond_endpoint(document: Document) -> str:
    waits = [u["told"] - u["endpoint"] for u in document["utterances"]]
    return f"{np.percentile(waits, 95):.0f} (n = {len(waits)})"


def _streams(asr: str) -> Callable[[Document], str]:
    return lambda document: str(document["streams"][asr])


def _on_one_core(speed: str) -> Callable[[Document], str]:
    return lambda document: f"{document['results'][0][speed]:.1f}"


def _times_one_core(document: Document) -> str:
    """Return the best on all cores beside the best on one."""
    speeds: dict[bool, float] = {}
    for result in document["results"]:
        one = result["name"].endswith(" 1 core")
        speeds[one] = max(speeds.get(one, 0.0), result["loaded_hours_per_hour"])
    return f"{speeds[False] / speeds[True]:.2f}" if False in speeds else "one core only"


FIGURES = (
    Figure("frontend", "LEAF, CPU ms / s", _cost("costs", "LEAF"), "<= 1.5"),
    Figure("frontend", "LEAF, direct form / ours", lambda d: f"{d['times_direct']:.0f}", ">= 40"),
    Figure(
        "frontend",
        "left at the endpoint, CPU ms",
        _cost("endpoint", "LeafCnnStream.embedding"),
        "<= 3",
    ),
    Figure("analysis", f"{WHOLE[0]}, CPU ms / s", _whole(WHOLE[0]), "<= 10"),
    Figure("analysis", f"{WHOLE[1]}, CPU ms / s", _whole(WHOLE[1]), "<= 10"),
    Figure("latency", "endpoint to event, p95 ms", _beyond_endpoint, "<= 15"),
    Figure("capacity", "live calls at once, p95 <= 200 ms", _streams("none"), ">= 60"),
    Figure("capacity", "the same with words known", _streams("known")),
    Figure("soak", "memory, MB / 10,000 utterances", _slope("memory_mb"), "0"),
    Figure("soak", "cost of one, CPU ms / 10,000", _slope("cpu_ms"), "0"),
    Figure(
        "archive",
        "archive on 1 core, hours / hour",
        _on_one_core("loaded_hours_per_hour"),
        ">= 100",
    ),
    Figure("archive", "the same, loading counted", _on_one_core("hours_per_hour")),
    Figure("archive", "archive, all cores / one", _times_one_core, ">= 1.8 with two"),
    Figure("startup", "streamer --help, s", _seconds("streamer --help"), "<= 0.3"),
    Figure("startup", "ready to listen, s", _seconds("ready, transcriber none"), "<= 3"),
    Figure("mqtt", "MQTT, events / s", lambda d: f"{d['per_second']:,.0f}"),
    Figure("mqtt", "MQTT, to subscriber, p95 ms", lambda d: f"{d['latency_ms']['p95']:.1f}"),
)

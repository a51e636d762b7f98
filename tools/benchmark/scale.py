"""A simulation of large clusters: hours of calls analysed in an hour, and what limits that.

Discrete events, driven by what was measured: CPU seconds of calls and their spread (from the ledger of an archive), the
driver's time for a call, loading. The driver hands calls to workers one at a time, longest first; a worker fetches
its call from a storage that all share, over the network of its node, and analyses it on one core.
"""

import argparse
import heapq
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamer.archive.ledger import FILE
from streamer.errors import UserError
from tools.benchmark.measuring import write_json
from tools.printing import print_rows

Values = NDArray[np.float64]

_BUSY = 0.85
"""Part of the time from which on something counts as what limits the rest."""


@dataclass(frozen=True)
class Costs:
    """What was measured, or is given by the machines."""

    driver: float = 0.001
    """Seconds of the driver for each call: handing over, taking the result, writing the ledger."""
    latency: float = 0.03
    """Seconds from a worker's request to the first byte of the storage."""
    loading: float = 6.0
    """Seconds from the start of a worker to its first call."""
    slowdown: float = 1.0
    """Seconds that one CPU second takes when all cores of a node are busy."""
    bytes_per_second: float = 8000.0
    """Of a recording: 8,000 for G.711 mono."""
    storage: float = 1.25e9
    """Bytes per second of the storage."""
    network: float = 1.25e9
    """Bytes per second of one node."""


@dataclass(frozen=True)
class Calls:
    """An archive."""

    seconds: Values
    """Of audio, of each call."""
    cpu: Values
    """CPU seconds that its analysis takes."""

    def longest_first(self) -> "Calls":
        """Return the order in which they begin."""
        order = np.argsort(-self.seconds, kind="stable")
        return Calls(self.seconds[order], self.cpu[order])


@dataclass
class Queue:
    """Serves requests one after the other, in the order of their times."""

    free: float = 0.0
    busy: float = 0.0

    def serve(self, now: float, seconds: float) -> float:
        """Return when a request that comes now is done."""
        self.free = max(now, self.free) + seconds
        self.busy += seconds
        return self.free


@dataclass
class Result:
    """How an archive went through a cluster."""

    nodes: int
    cores: int
    """Of one node."""
    calls: int
    hours: float
    """From the start to the end."""
    hours_per_hour: float
    use: dict[str, float] = field(default_factory=dict)
    """Part of the time that each part of the cluster was busy."""
    bottleneck: str = ""


def simulate(calls: Calls, nodes: int, cores: int, costs: Costs) -> Result:
    """Send an archive through a cluster."""
    driver, storage = Queue(), Queue()
    network = [Queue() for _ in range(nodes)]
    asking = [(costs.loading, worker) for worker in range(min(nodes * cores, len(calls.cpu)))]
    computed, end = 0.0, 0.0
    for seconds, cpu in zip(calls.seconds.tolist(), calls.cpu.tolist(), strict=True):
        now, worker = heapq.heappop(asking)
        handed = driver.serve(now, costs.driver)
        size = seconds * costs.bytes_per_second
        fetched = max(
            storage.serve(handed, size / costs.storage),
            network[worker % nodes].serve(handed, size / costs.network),
        )
        done = fetched + costs.latency + cpu * costs.slowdown
        computed += cpu * costs.slowdown
        end = max(end, done)
        heapq.heappush(asking, (done, worker))
    use = {
        "cores": computed / (end * nodes * cores),
        "driver": driver.busy / end,
        "storage": storage.busy / end,
        "network": max(queue.busy for queue in network) / end,
    }
    audio = float(calls.seconds.sum())
    found = Result(nodes, cores, len(calls.cpu), end / 3600, audio / end, use)
    found.bottleneck = _bottleneck(found)
    return found


def _bottleneck(result: Result) -> str:
    name, most = max(result.use.items(), key=lambda pair: pair[1])
    if most >= _BUSY:
        return name
    return "loading and the last calls: the archive is small for the cluster"


def read_ledger(path: Path) -> Calls:
    """Return the calls of an analysed archive, and what they cost.

    Raises:
        UserError: there is none.
    """
    file = path / FILE if path.is_dir() else path
    try:
        database = sqlite3.connect(f"file:{file}?mode=ro", uri=True)
        rows = database.execute(
            "SELECT seconds, cpu FROM calls WHERE state = 'done' AND seconds > 0 ORDER BY seconds DESC"
        ).fetchall()
        database.close()
    except sqlite3.Error as error:
        raise UserError(f"{file}: {error}") from None
    if not rows:
        raise UserError(f"{file}: no calls were analysed there")
    table = np.asarray(rows, np.float64)
    return Calls(table[:, 0], table[:, 1])


def draw(measured: Calls | None, count: int, mean: float, seed: int = 0) -> Calls:
    """Return an archive of many calls: lengths as of telephone calls, costs with the spread of the measured ones.

    Args:
        measured: calls whose costs are known; None: 15.5 ms a second of audio (standard deviation 2) and 25 ms a call.
        count: how many calls.
        mean: seconds of a call, log-normal.
        seed: another one draws others.
    """
    random = np.random.default_rng(seed)
    sigma = 0.9
    seconds = random.lognormal(np.log(mean) - sigma**2 / 2, sigma, count)
    if measured is None:
        return Calls(
            seconds, 0.025 + seconds * np.maximum(random.normal(0.0155, 0.002, count), 0.005)
        )
    long = measured.seconds >= min(30.0, float(np.median(measured.seconds)))
    rates = (measured.cpu / measured.seconds)[long]
    return Calls(seconds, seconds * random.choice(rates, count))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    usual = Costs()
    parser.add_argument(
        "--ledger", type=Path, metavar="DIR", help="target of an archive: costs of its calls"
    )
    parser.add_argument(
        "--replay",
        action="store_true",
        help="the calls of the ledger themselves, to compare with what was measured",
    )
    parser.add_argument(
        "--nodes", type=int, nargs="+", default=[10, 100, 1000], help="default 10 100 1000"
    )
    parser.add_argument("--cores", type=int, default=16, help="of a node (default 16)")
    parser.add_argument("--calls", type=int, default=1_000_000, help="default 1,000,000")
    parser.add_argument("--mean", type=float, default=300.0, help="seconds of a call (default 300)")
    parser.add_argument(
        "--driver-ms", type=float, default=1000 * usual.driver, help="of each call (default 1)"
    )
    parser.add_argument("--loading", type=float, default=usual.loading, help="seconds (default 6)")
    parser.add_argument(
        "--slowdown", type=float, default=usual.slowdown, help="with all cores busy (default 1)"
    )
    parser.add_argument(
        "--storage", type=float, default=10.0, metavar="GBIT", help="of all (default 10 Gbit/s)"
    )
    parser.add_argument(
        "--network", type=float, default=10.0, metavar="GBIT", help="of a node (default 10 Gbit/s)"
    )
    parser.add_argument(
        "--kbit", type=float, default=64.0, help="of a recording (default 64: G.711 mono)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Simulate and print."""
    measured = read_ledger(arguments.ledger) if arguments.ledger else None
    costs = Costs(
        driver=arguments.driver_ms / 1000,
        loading=arguments.loading,
        slowdown=arguments.slowdown,
        bytes_per_second=arguments.kbit * 125,
        storage=arguments.storage * 1.25e8,
        network=arguments.network * 1.25e8,
    )
    if arguments.replay and measured is None:
        raise UserError("--replay needs --ledger")
    calls = (
        measured
        if arguments.replay and measured
        else draw(measured, arguments.calls, arguments.mean)
    ).longest_first()
    results = [simulate(calls, nodes, arguments.cores, costs) for nodes in arguments.nodes]
    _print(results, calls)
    write_json(arguments.json, "scale", {"costs": costs, "results": results})


def _print(results: Sequence[Result], calls: Calls) -> None:
    hours = float(calls.seconds.sum()) / 3600
    cost = 1000 * float(calls.cpu.sum() / calls.seconds.sum())
    title = f"{len(calls.cpu):,} calls, {hours:,.1f} hours, {cost:.1f} CPU ms a second (simulated)"
    parts = ("cores", "driver", "storage", "network")
    rows = []
    for each in results:
        use = [f"{100 * each.use[part]:.0f} %" for part in parts]
        speed = f"{each.hours_per_hour:,.0f}"
        place = f"{each.nodes:,} x {each.cores}"
        rows.append((place, f"{each.hours:.3f}", speed, *use, each.bottleneck))
    columns = ("nodes x cores", "takes, h", "hours in an hour", *parts, "limited by")
    print_rows(title, columns, rows)

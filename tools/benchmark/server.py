"""Live conversations over `/ws` at a server in another process, alone and beside connections that misbehave.

The server has a process of its own, the well-behaved clients are in this one, those that misbehave in a third; all
share the cores. Clients play the sample call without end and keep to real time. The delay of an utterance is what its
client sees: from sending the audio by which the end of speech is known to receiving the event.
"""

import argparse
import asyncio
import contextlib
import json
import os
import re
import secrets
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from streamer.audio import SAMPLE_RATE
from streamer.errors import UserError
from streamer.settings.tree import Segmentation
from tools.benchmark import calls, misbehaving
from tools.benchmark.measuring import conditions, write_json
from tools.command_line import add_set
from tools.printing import print_rows

_GOLDEN = 0.618034
"""Clients begin at places of the call that are spread as evenly as places can be."""
_WARM_UP = 3.0
"""Seconds at the beginning of which no delay counts: all clients begin then."""
_SAMPLED = 5.0
"""Seconds between readings of the server's memory."""


@dataclass
class Delays:
    """What the clients of a phase saw."""

    milliseconds: list[float] = field(default_factory=list)
    """From the endpoint to the event, by the client's clock."""
    totals: list[float] = field(default_factory=list)
    """From the end of speech to the event without the silence waited for, by the server's clock."""
    losses: list[str] = field(default_factory=list)
    """What was shed or skipped, or failed."""

    @property
    def given_up(self) -> int:
        """How many of them are messages about work that is given up; the others are audio or events that are lost."""
        return sum(each.startswith("error") for each in self.losses)


@dataclass(frozen=True)
class Phase:
    """How one phase went."""

    name: str
    utterances: int
    p50_ms: float
    p95_ms: float
    server_p95_ms: float
    losses: int
    """Gaps, skipped events, lost connections."""
    told: int
    """Messages about work that is given up."""
    cores: float
    """CPU seconds of the server for each second."""
    clients_cores: float
    misbehaving_cores: float
    """The same of the clients, and of those that misbehave."""
    memory_mb: float
    """Memory of the server and its processes at the end."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--clients", type=int, default=30, help="conversations (default 30)")
    parser.add_argument("--seconds", type=float, default=60.0, help="of each phase (default 60)")
    parser.add_argument(
        "--minutes", type=float, metavar="N", help="of each phase, instead of --seconds"
    )
    parser.add_argument(
        "--misbehaving", type=int, default=200, help="of the second phase (default 200; 0: none)"
    )
    parser.add_argument("--beside", action="store_true", help="the second phase alone")
    parser.add_argument("--strangers", action="store_true", help="these have no valid token")
    parser.add_argument(
        "--kinds",
        nargs="+",
        choices=misbehaving.NAMES,
        default=[""],
        metavar="KIND",
        help="a phase for each kind of those that misbehave, instead of one for all of them: "
        + ", ".join(misbehaving.NAMES),
    )
    parser.add_argument("--rounds", type=int, default=1, help="both phases so many times")
    parser.add_argument(
        "--piece", type=float, default=60.0, metavar="MS", help="of audio a message (default 60)"
    )
    add_set(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure and print.

    Raises:
        UserError: if there is nothing to measure, or the server does not start.
    """
    if arguments.beside and not arguments.misbehaving:
        raise UserError("--beside: needs clients that misbehave")
    call = calls.read_call(calls.recordings(None)[0])
    audio = np.ascontiguousarray((call.samples.T * 32767).astype("<i2"))
    phases: list[Phase] = []
    memory: list[tuple[float, float]] = []
    losses: list[str] = []
    token = secrets.token_hex(16)
    with _server(arguments.set, token) as (address, process):
        meter = _Meter(psutil.Process(process.pid), memory)
        for _ in range(arguments.rounds):
            kinds = arguments.kinds if arguments.misbehaving else []
            for kind in (*([] if arguments.beside else [None]), *kinds):
                count = 0 if kind is None else arguments.misbehaving
                name = kind or (f"beside {count} that misbehave" if count else "alone")
                theirs = secrets.token_hex(16) if arguments.strangers else token
                with _misbehaving(address, theirs, count, kind or "") as others:
                    clients = _Clients(address, token, audio, arguments)
                    phase, delays = asyncio.run(meter.measure(name, clients, others))
                phases.append(phase)
                losses += delays.losses
    growth = _growth(memory)
    _print(phases, growth, sorted(set(losses)))
    results: dict[str, Any] = {
        "clients": arguments.clients,
        "seconds": 60 * arguments.minutes if arguments.minutes else arguments.seconds,
        "phases": phases,
        "memory_mb": memory,
        "growth_mb_per_hour": growth,
        "losses": losses,
    }
    write_json(arguments.json, "server", results)


@contextlib.contextmanager
def _server(settings: list[str], token: str) -> Iterator[tuple[str, "subprocess.Popen[bytes]"]]:
    """Start `streamer serve` on a free port; give its address and process.

    Raises:
        UserError: if it does not start.
    """
    command = [sys.executable, "-m", "streamer.cli", "serve", "--port", "0"]
    for each in ("asr.backend=none", "web.max_conversations=300", *settings):
        command += ["--set", each]
    environment = {**os.environ, "STREAMER_WEB_TOKEN": token}
    with tempfile.NamedTemporaryFile("r", prefix="serve-", suffix=".log") as log:
        process = subprocess.Popen(command, stderr=log.fileno(), env=environment)
        try:
            yield _address(process, Path(log.name)), process
        finally:
            process.terminate()
            process.wait(30)


def _address(process: "subprocess.Popen[bytes]", log: Path) -> str:
    """Wait until the server says where it listens.

    Raises:
        UserError: if it ends instead.
    """
    while process.poll() is None:
        said = log.read_text(encoding="utf-8")
        if found := re.search(r"listening on \w+://(.+)/\n", said):
            return found[1]
        time.sleep(0.1)
    raise UserError(log.read_text(encoding="utf-8").strip())


@contextlib.contextmanager
def _misbehaving(
    address: str, token: str, count: int, kind: str
) -> Iterator[psutil.Process | None]:
    """Have so many connections, or those of a kind among them, misbehave in a process of their own."""
    if not count:
        yield None
        return
    command = ["nice", "-n", "19", sys.executable]  # as if they came from another machine
    command += ["-m", "tools.benchmark.misbehaving", address, str(count), kind]
    process = subprocess.Popen(
        command, env={**os.environ, "STREAMER_WEB_TOKEN": token, "OMP_NUM_THREADS": "1"}
    )
    try:
        yield psutil.Process(process.pid)
    finally:
        process.kill()  # it may get too little time to end by itself
        process.wait()


class _Clients:
    """Well-behaved clients, each with a conversation of its own."""

    def __init__(
        self, address: str, token: str, audio: NDArray[np.int16], arguments: argparse.Namespace
    ) -> None:
        self._address = address
        self._token = token
        self._audio = np.concatenate([audio, audio[:SAMPLE_RATE]])
        self._length = len(audio)
        self._piece = round(arguments.piece * SAMPLE_RATE / 1000)
        self._tail = Segmentation().tail
        self.count: int = arguments.clients
        minutes: float | None = arguments.minutes
        self.seconds: float = 60 * minutes if minutes else arguments.seconds
        self.delays = Delays()

    async def run(self) -> None:
        """Hold all conversations."""
        async with asyncio.TaskGroup() as group:
            for number in range(self.count):
                group.create_task(self._converse(number))

    async def _converse(self, number: int) -> None:
        await asyncio.sleep(number / self.count)
        sent: list[float] = []
        """When each piece was to be sent, by the monotonic clock."""
        try:
            async with connect(f"ws://{self._address}/ws", compression=None) as socket:
                start = {"type": "start", "channels": ["agent", "customer"], "token": self._token}
                await socket.send(json.dumps(start))
                sending = asyncio.create_task(self._send(socket, number, sent))
                async for message in socket:
                    self._take(json.loads(message), time.monotonic(), sent)
                await sending
        except ConnectionClosed as closed:
            self.delays.losses.append(f"connection lost: {closed}")

    async def _send(self, socket: Any, number: int, sent: list[float]) -> None:
        begun = time.monotonic()
        place = int(number * _GOLDEN % 1 * self._length)
        for piece in range(int(self.seconds * SAMPLE_RATE / self._piece)):
            at = (place + piece * self._piece) % self._length
            due = begun + (piece + 1) * self._piece / SAMPLE_RATE
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            sent.append(due)
            await socket.send(self._audio[at : at + self._piece].tobytes())
        await socket.send(json.dumps({"type": "end"}))

    def _take(self, event: dict[str, Any], now: float, sent: list[float]) -> None:
        if event["type"] == "utterance":
            latency = event["latency_ms"]
            known = event["end"] - self._tail + latency["endpoint"] / 1000
            piece = min(len(sent), max(1, -(-round(known * SAMPLE_RATE) // self._piece))) - 1
            if event["end"] >= _WARM_UP:
                self.delays.milliseconds.append(1000 * (now - sent[piece]))
                self.delays.totals.append(latency["total"] - latency["endpoint"])
        elif event["type"] in ("gap", "error", "skipped"):
            said = event.get("message") or event.get("reason") or event.get("count")
            self.delays.losses.append(f"{event['type']}: {said}")


class _Meter:
    """Reads memory and CPU time of the server while a phase goes on."""

    def __init__(self, process: psutil.Process, memory: list[tuple[float, float]]) -> None:
        self._process = process
        self._memory = memory
        self._begun = time.monotonic()

    async def measure(
        self, name: str, clients: _Clients, others: psutil.Process | None
    ) -> tuple[Phase, Delays]:
        """Run a phase beside the process of those that misbehave."""
        reading = asyncio.create_task(self._read())
        groups = _tree(self._process), [psutil.Process()], [others] if others else []
        wall, before = time.monotonic(), [_cpu(each) for each in groups]
        await clients.run()
        wall = time.monotonic() - wall
        cores = [(_cpu(each) - cpu) / wall for each, cpu in zip(groups, before, strict=True)]
        reading.cancel()
        delays = clients.delays
        milliseconds = delays.milliseconds or [1000 * clients.seconds]
        p50, p95 = np.percentile(milliseconds, (50, 95))
        phase = Phase(
            name,
            len(delays.milliseconds),
            float(p50),
            float(p95),
            float(np.percentile(delays.totals or [0.0], 95)),
            len(delays.losses) - delays.given_up,
            delays.given_up,
            *(cores[0], cores[1], cores[2]),
            self._resident(),
        )
        return phase, delays

    async def _read(self) -> None:
        while True:
            await asyncio.sleep(_SAMPLED)
            self._memory.append((time.monotonic() - self._begun, self._resident()))

    def _resident(self) -> float:
        """Give the MB of the server and its processes; what they share counts in equal parts."""
        return float(sum(each.memory_full_info().pss for each in _tree(self._process))) / 2**20


def _tree(process: psutil.Process) -> list[psutil.Process]:
    return [process, *process.children(recursive=True)]


def _cpu(processes: list[psutil.Process]) -> float:
    """Give the CPU seconds of processes so far."""
    times = [each.cpu_times() for each in processes]
    return float(sum(one.user + one.system for one in times))


def _growth(memory: list[tuple[float, float]]) -> float:
    """Give the slope of the later half of the memory in MB per hour; 0 of too few readings."""
    later = memory[len(memory) // 2 :]
    if len(later) < 3:
        return 0.0
    return float(3600 * np.polyfit([t for t, _ in later], [mb for _, mb in later], 1)[0])


def _print(phases: list[Phase], growth: float, losses: list[str]) -> None:
    times, counts, cpu = (
        ("p50 ms", "p95 ms", "server's p95"),
        ("n", "lost", "told"),
        ("CPU", "clients'", "others'"),
    )
    columns = ("", *times, *counts, *cpu, "MB")
    rows = []
    for one in phases:
        latency = (f"{ms:.0f}" for ms in (one.p50_ms, one.p95_ms, one.server_p95_ms))
        cores = (one.cores, one.clients_cores, one.misbehaving_cores)
        costs = *(f"{each:.2f}" for each in cores), f"{one.memory_mb:.0f}"
        rows.append((one.name, *latency, one.utterances, one.losses, one.told, *costs))
    print_rows("Conversations over /ws", columns, rows, caption=conditions())
    for loss in losses[:10]:
        print(loss)
    print(f"memory of the server: {growth:+.1f} MB per hour over the later half")

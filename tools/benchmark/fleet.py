"""MQTT fleets: simulated nodes at one mosquitto on the loopback interface, and one watcher.

Each node has a connection of its own and publishes what a real one does of a conversation: its events, its
diagnostics and the state of its speakers. Nodes run in this process, broker and watcher each in another.
"""

import argparse
import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path

from streamer import __version__
from streamer.errors import UserError
from streamer.mqtt.address import Broker
from streamer.mqtt.connection import connect
from streamer.mqtt.fleet import Fleet, FleetNode, follow_fleet
from streamer.mqtt.messages import Will
from streamer.mqtt.presence import OFFLINE, ONLINE, Instance
from streamer.mqtt.state import NodeState
from streamer.mqtt.topics import Topics
from tools.benchmark.broker import Mosquitto
from tools.benchmark.measuring import write_json
from tools.benchmark.mqtt import sample_update

_PREFIX = "fleet"
_EVENTS = 4
"""Events for each diagnostics message: an utterance has about six."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--nodes", type=int, default=1000, help="simulated nodes (default 1000)")
    parser.add_argument("--seconds", type=float, default=30.0, help="of traffic (default 30)")
    parser.add_argument(
        "--interval",
        type=float,
        default=5.0,
        help="seconds between a node's utterances (default 5)",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name, Mosquitto(Path(name)) as broker:
        watcher = subprocess.Popen(
            [sys.executable, "-m", "tools.benchmark.fleet", str(broker.port)],
            stdout=subprocess.PIPE,
            stderr=sys.stderr,
        )
        traffic = _Traffic(broker.port, arguments.nodes, arguments.interval)
        begun = time.process_time()
        asyncio.run(traffic.run(arguments.seconds, watcher))
        cpu = time.process_time() - begun
        broker_memory = _memory(broker.pid)
        broker_cpu = _cpu(broker.pid)
        watcher.send_signal(signal.SIGTERM)
        output, _ = watcher.communicate(timeout=30)
    if watcher.returncode != 0:
        raise UserError("the watcher failed")
    watched = json.loads(output)
    results = {
        "nodes": arguments.nodes,
        "seconds": arguments.seconds,
        "connect_seconds": traffic.connect_seconds,
        "messages_per_second": traffic.messages / arguments.seconds,
        "simulation_cpu_share": cpu / arguments.seconds,
        "broker_memory_mb": broker_memory,
        "broker_cpu_seconds": broker_cpu,
        "watcher": watched,
        "load": os.getloadavg()[0],
    }
    print(
        f"{arguments.nodes} nodes connected in {traffic.connect_seconds:.1f} s; "
        f"{results['messages_per_second']:,.0f} messages/s for {arguments.seconds:.0f} s "
        f"(load average {results['load']:.1f})\n"
        f"broker: {broker_memory:.1f} MB, {broker_cpu:.1f} s CPU\n"
        f"watcher: {watched['nodes']} nodes, {watched['messages']} messages, "
        f"latency p50 {watched['p50_ms']:.1f} ms, p95 {watched['p95_ms']:.1f} ms, "
        f"max {watched['max_ms']:.1f} ms; {watched['memory_mb']:.1f} MB, "
        f"{watched['cpu_seconds']:.1f} s CPU"
    )
    write_json(arguments.json, "fleet", results)


class _Traffic:
    """Publishes as many nodes."""

    def __init__(self, port: int, nodes: int, interval: float) -> None:
        self.messages = 0
        self.connect_seconds = 0.0
        self._port = port
        self._nodes = nodes
        self._interval = interval
        self._running = asyncio.Event()
        self._connected = 0
        self._all = asyncio.Event()
        self._connecting = asyncio.Semaphore(20)

    async def run(self, seconds: float, watcher: "subprocess.Popen[bytes]") -> None:
        """Connect all nodes, and once the watcher has seen one lets them publish for a time."""
        begun = time.monotonic()
        tasks = [asyncio.create_task(self._node(number)) for number in range(self._nodes)]
        async with asyncio.timeout(120):
            await self._all.wait()
        self.connect_seconds = time.monotonic() - begun
        if watcher.stdout:
            await asyncio.to_thread(watcher.stdout.readline)
        self._running.set()
        await asyncio.sleep(seconds)
        for task in tasks:
            task.cancel()
        ended = await asyncio.gather(*tasks, return_exceptions=True)
        failed = [each for each in ended if not isinstance(each, asyncio.CancelledError)]
        if failed:
            raise UserError(f"{len(failed)} nodes failed: {failed[0]}")

    async def _node(self, number: int) -> None:
        name = f"node{number:05}"
        topics = Topics(_PREFIX, name)
        broker = Broker("127.0.0.1", self._port, topics, protocol="5")
        will = Will(topics.availability, OFFLINE)
        instance = Instance(
            instance=f"{number:012x}",
            host=name,
            process=number,
            since=datetime.now(UTC),
            version=__version__,
        )
        async with self._connecting:
            context = connect(broker, identifier=f"streamer-{name}", will=will)
            connection = await context.__aenter__()
            await connection.publish(topics.instance, instance.model_dump_json())
            await connection.publish(topics.availability, ONLINE)
            self._connected += 1
            if self._connected == self._nodes:
                self._all.set()
        try:
            await self._running.wait()
            chance = random.Random(number)
            await asyncio.sleep(chance.uniform(0, self._interval))
            state = NodeState(session=f"call{number}", channels=["agent", "customer"])
            while True:
                for _ in range(_EVENTS):
                    event = sample_update(f"call{number}", self.messages)
                    await connection.publish(
                        topics.event(event.session, event.type), event.to_json(), retain=False
                    )
                state = state.model_copy(
                    update={"time": datetime.now(UTC), "utterances": state.utterances + 1}
                )
                await connection.publish(topics.diagnostics, state.model_dump_json())
                self.messages += _EVENTS + 1
                await asyncio.sleep(self._interval * chance.uniform(0.5, 1.5))
        finally:
            await asyncio.shield(context.__aexit__(None, None, None))


async def _watch(port: int) -> None:
    """Follow the fleet until SIGTERM, then prints the figures."""
    fleet = Fleet(_PREFIX)
    latencies: list[float] = []
    messages = 0
    known: dict[str, datetime] = {}
    task = asyncio.current_task()
    if task:
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        async for node in follow_fleet(Broker("127.0.0.1", port, Topics(_PREFIX, "-")), fleet):
            messages += 1
            if messages == 1:
                print("ready", flush=True)
            if not isinstance(node, FleetNode) or node.state.time is None:
                continue
            if known.get(node.name) != node.state.time:
                known[node.name] = node.state.time
                delay = datetime.now(UTC) - node.state.time
                latencies.append(delay.total_seconds() * 1000)
    except asyncio.CancelledError:
        pass
    latencies.sort()
    figures = {
        "nodes": len(fleet.nodes),
        "messages": messages,
        "p50_ms": latencies[len(latencies) // 2],
        "p95_ms": latencies[int(0.95 * (len(latencies) - 1))],
        "max_ms": latencies[-1],
        "memory_mb": _memory(os.getpid()),
        "cpu_seconds": time.process_time(),
    }
    print(json.dumps(figures))


def _memory(pid: int) -> float:
    """Return the resident memory of a process in MB."""
    for line in Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1000
    return 0.0


def _cpu(pid: int) -> float:
    """Return the CPU seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    asyncio.run(_watch(int(sys.argv[1])))

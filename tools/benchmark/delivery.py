"""MQTT: whether events arrive, once per connection and in order, through faults of every kind.

A mosquitto of its own on the loopback interface, behind a proxy that records each connection. Faults come at
seeded random moments; their number and time are bounded.
"""

import argparse
import asyncio
import logging
import random
import resource
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from dataclasses import astuple, dataclass
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from unittest import mock

from streamer.clock import WallClock
from streamer.mqtt import mqtt_sink
from streamer.mqtt.sink import MqttSink
from streamer.settings import load as configuration
from tools.benchmark.broker import CutLink, Mosquitto, Subscriber, free_port
from tools.benchmark.measuring import write_json
from tools.benchmark.mqtt import sample_update
from tools.printing import print_rows

_SETTLED = 60.0
"""Seconds to wait for the last events."""


@dataclass
class Result:
    """What became of the events of one fault."""

    fault: str
    stored: int = 0
    """Events that the outbox had stored."""
    missing: int = 0
    """Stored events that no subscriber got."""
    repeats: int = 0
    """Events that subscribers got again."""
    per_connection: int = 0
    """Most copies of an event over one connection."""
    connections: int = 0
    out_of_order: int = 0
    """Events that came, for the first time, after a later one."""
    seconds: float = 0.0
    faults: int = 0


@dataclass
class Rig:
    """A broker, a link to it, a subscriber and an outbox."""

    folder: Path
    broker: Mosquitto
    link: CutLink
    port: int
    """Of the link."""
    subscriber: Subscriber
    chance: random.Random
    events: int

    def sink(self, **settings: object) -> MqttSink:
        """Make a sink of the node `desk`."""
        given = {"node": "desk", "outbox": str(self.folder / "outbox")} | settings
        overrides = {f"mqtt.{key}": value for key, value in given.items()}
        url = f"mqtt://127.0.0.1:{self.port}"
        return mqtt_sink(configuration.load(overrides=overrides), url)

    def judge(self, result: Result, stored: dict[str, int]) -> Result:
        """Compare what came with what was stored."""
        deadline = time.monotonic() + _SETTLED
        while time.monotonic() < deadline and any(
            len(set(self.subscriber.seen[session])) < count for session, count in stored.items()
        ):
            time.sleep(0.05)
        for session, count in stored.items():
            seen = self.subscriber.seen[session]
            first = list(dict.fromkeys(seen))
            result.stored += count
            result.missing += len(set(range(count)) - set(seen))
            result.repeats += len(seen) - len(first)
            result.out_of_order += sum(later < earlier for earlier, later in pairwise(first))
            for sent in self.link.events(session):
                copies = max((sent.count(number) for number in set(sent)), default=0)
                result.per_connection = max(result.per_connection, copies)
        result.connections = len(self.link.sent)
        return result


async def _emit(sink: MqttSink, session: str, count: int, pause: float) -> None:
    for number in range(count):
        await sink.emit(sample_update(session, number))
        if number % 10 == 0:
            await asyncio.sleep(pause)


async def _delivered(sink: MqttSink) -> None:
    async with asyncio.timeout(_SETTLED):
        while sink.waiting:  # noqa: ASYNC110 - a wait of milliseconds at the end of seconds
            await asyncio.sleep(0.02)


async def killed_brokers(rig: Rig, result: Result) -> None:
    """Kill Mosquitto (SIGKILL) 20 times."""
    async with rig.sink() as sink:
        emitting = asyncio.create_task(_emit(sink, "call", rig.events, 0.1))
        for _ in range(20):
            # A broker that is killed before the subscriber is back loses what it queued for it.
            await asyncio.to_thread(rig.subscriber.wait_for_more)
            await asyncio.sleep(rig.chance.uniform(0, 0.5))
            await asyncio.to_thread(rig.broker.stop, signal.SIGKILL)
            await asyncio.sleep(rig.chance.uniform(0, 0.2))
            await asyncio.to_thread(rig.broker.start)
            result.faults += 1
        await emitting
        await _delivered(sink)
    await asyncio.to_thread(rig.judge, result, {"call": rig.events})


async def flapping_link(rig: Rig, result: Result) -> None:
    """Cut the link every 2 s for a minute."""
    rig.link.seconds = 2.0
    count = 1200
    async with rig.sink() as sink:
        await _emit(sink, "call", count, 0.5)
        result.faults = len(rig.link.sent)
        rig.link.seconds = None
        await _delivered(sink)
    await asyncio.to_thread(rig.judge, result, {"call": count})


async def silent_broker(rig: Rig, result: Result) -> None:
    """Put a broker that accepts connections and says nothing in the place of the real one, which then returns."""

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(1000):
            pass
        writer.close()

    server = await asyncio.start_server(silent, "127.0.0.1")
    rig.link.port = server.sockets[0].getsockname()[1]
    began = time.monotonic()
    async with rig.sink() as sink:
        await _emit(sink, "call", 500, 0)
    result.seconds = time.monotonic() - began
    result.faults = 1
    server.close()
    rig.link.cut()
    rig.link.port = rig.broker.port
    async with rig.sink() as sink:
        await _delivered(sink)
    await asyncio.to_thread(rig.judge, result, {"call": 500})


async def leaping_clock(rig: Rig, result: Result) -> None:
    """Let the wall clock leap by years, both ways, at each look; the broker is away for the first run."""

    def leap(_: WallClock) -> datetime:
        result.faults += 1
        return datetime.now(UTC) + timedelta(days=rig.chance.uniform(-3650, 3650))

    with mock.patch.object(WallClock, "now", leap):
        rig.broker.stop()
        async with rig.sink(retention=60) as sink:
            await _emit(sink, "first", 500, 0)
        rig.broker.start()
        async with rig.sink(retention=60) as sink:
            await _emit(sink, "second", 500, 0)
            await _delivered(sink)
    await asyncio.to_thread(rig.judge, result, {"first": 500, "second": 500})


async def full_disk(rig: Rig, result: Result) -> None:
    """Let no file grow beyond 150 KB, as on a full disk; the broker is frozen meanwhile."""
    stored = {"call": rig.events}
    rig.broker.send(signal.SIGSTOP)
    publisher = _publisher(rig, "call", rig.events, disk=150_000)
    await asyncio.sleep(8)
    rig.broker.send(signal.SIGCONT)
    result.faults = 1
    await asyncio.to_thread(publisher.wait, _SETTLED)
    await asyncio.to_thread(rig.judge, result, stored)


async def killed_publishers(rig: Rig, result: Result) -> None:
    """Kill the publisher (SIGKILL) 10 times while it delivers."""
    stored = {}
    for number in range(10):
        session = f"run{number}"
        publisher = _publisher(rig, session, rig.events)
        stored[session] = await asyncio.to_thread(_kill_amid, publisher, rig.chance)
        result.faults += 1
    publisher = _publisher(rig, "last", 100)
    await asyncio.to_thread(publisher.wait, _SETTLED)
    await asyncio.to_thread(rig.judge, result, stored | {"last": 100})


def _publisher(
    rig: Rig, session: str, count: int, disk: int | None = None
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "tools.benchmark.delivery", str(rig.port), str(rig.folder)]
    options = [session, str(count), str(disk or 0)]
    return subprocess.Popen([*command, *options], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)


def _kill_amid(publisher: "subprocess.Popen[bytes]", chance: random.Random) -> int:
    """Kill a publisher after a random number of events, and returns how many it had stored."""
    last = chance.randrange(200, 1500)
    stored = 0
    with publisher:
        for line in publisher.stdout or ():
            stored = int(line)
            if stored >= last:
                break
        publisher.kill()
    return stored


async def _publish(port: int, folder: Path, session: str, count: int) -> None:
    overrides = {"mqtt.node": "desk", "mqtt.outbox": str(folder / "outbox")}
    settings = configuration.load(overrides=overrides)
    async with mqtt_sink(settings, f"mqtt://127.0.0.1:{port}") as sink:
        for number in range(count):
            await sink.emit(sample_update(session, number))
            if number % 50 == 49:
                await sink.stored()
                print(number + 1, flush=True)
        await _delivered(sink)


FAULTS: tuple[Callable[[Rig, Result], Awaitable[None]], ...] = (
    killed_brokers,
    flapping_link,
    silent_broker,
    full_disk,
    leaping_clock,
    killed_publishers,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--events", type=int, default=5000, help="of each fault (default 5000)")
    parser.add_argument("--seed", type=int, default=1, help="of the faults' moments (default 1)")
    parser.add_argument("--only", choices=[fault.__name__ for fault in FAULTS], help="one fault")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Run each fault, and print what arrived."""
    logging.getLogger("streamer").setLevel(logging.ERROR)
    chosen = [fault for fault in FAULTS if arguments.only in {None, fault.__name__}]
    results = [
        asyncio.run(_try(fault, arguments.events, random.Random(arguments.seed)))
        for fault in chosen
    ]
    columns = list(Result.__dataclass_fields__)
    rows = [
        [f"{v:.1f}" if isinstance(v, float) else v for v in astuple(result)] for result in results
    ]
    print_rows(f"MQTT delivery through faults (seed {arguments.seed})", columns, rows)
    write_json(arguments.json, "delivery", {"results": results})


async def _try(
    fault: Callable[[Rig, Result], Awaitable[None]], count: int, chance: random.Random
) -> Result:
    result = Result(fault.__name__.replace("_", " "))
    with (
        tempfile.TemporaryDirectory() as name,
        Mosquitto(Path(name) / "broker", port=free_port()) as broker,
    ):
        link = CutLink(broker.port)
        subscriber = Subscriber(broker.port)
        broker.stop()  # writes the subscription to the disk
        broker.start()
        try:
            async with link.listening() as port:
                began = time.monotonic()
                rig = Rig(Path(name), broker, link, port, subscriber, chance, count)
                await fault(rig, result)
                result.seconds = result.seconds or time.monotonic() - began
        finally:
            subscriber.close()
    return result


def _main(port: str, folder: str, session: str, count: str, disk: str) -> None:
    """Publish, in a process of its own that may be killed."""
    if int(disk):
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(disk), int(disk)))
    asyncio.run(_publish(int(port), Path(folder), session, int(count)))


if __name__ == "__main__":
    _main(*sys.argv[1:])

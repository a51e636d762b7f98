"""MQTT: events per second through the outbox to a broker, and the time from an event to a subscriber.

A mosquitto of its own on the loopback interface, QoS 1, an outbox on disk. The broker is another process;
the subscriber of the latency shares the publisher's event loop, so its own work counts too.
"""

import argparse
import asyncio
import contextlib
import os
import statistics
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from streamer import events
from streamer.mqtt import mqtt_sink
from streamer.mqtt.items import ReceivedEvent
from streamer.mqtt.subscriber import follow
from streamer.settings import load as configuration
from streamer.settings import tree as config
from tools.benchmark.broker import Mosquitto
from tools.benchmark.measuring import write_json
from tools.printing import print_rows


@dataclass(frozen=True)
class Throughput:
    """A burst of events, until the broker had acknowledged the last."""

    events: int
    per_second: float
    cpu_ms: float
    """CPU milliseconds of the publisher for each event."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds from handing over an event, one at a time, to having it back."""

    events: int
    p50: float
    p95: float
    max: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--events", type=int, default=10_000, help="of a burst (default 10000)")
    parser.add_argument("--rounds", type=int, default=5, help="bursts (default 5)")
    parser.add_argument("--single", type=int, default=300, help="events one by one (default 300)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as folder, Mosquitto(Path(folder) / "broker") as broker:
        url = f"mqtt://127.0.0.1:{broker.port}"
        settings = configuration.load(
            overrides={"mqtt.url": url, "mqtt.node": "benchmark", "mqtt.outbox": folder},
        )
        bursts = [
            asyncio.run(_burst(settings, arguments.events, f"burst{number}"))
            for number in range(arguments.rounds)
        ]
        latency = asyncio.run(_one_by_one(settings, arguments.single))
    load = os.getloadavg()[0]
    rows = [
        (str(number), f"{burst.per_second:,.0f}", f"{burst.cpu_ms:.3f}")
        for number, burst in enumerate(bursts, 1)
    ]
    rate = statistics.median(burst.per_second for burst in bursts)
    cpu = statistics.median(burst.cpu_ms for burst in bursts)
    rows.append(("median", f"{rate:,.0f}", f"{cpu:.3f}"))
    title = f"MQTT, QoS 1, loopback (load average {load:.1f})"
    print_rows(title, ("burst", "events / s", "CPU ms / event"), rows)
    print(
        f"From event to subscriber, one at a time (n = {latency.events}): "
        f"p50 {latency.p50:.1f} ms, p95 {latency.p95:.1f} ms, max {latency.max:.1f} ms"
    )
    results = {"load": load, "bursts": bursts, "per_second": rate, "latency_ms": latency}
    write_json(arguments.json, "mqtt", results)


async def _burst(settings: config.Settings, count: int, session: str) -> Throughput:
    stream = [sample_update(session, number) for number in range(count)]
    async with mqtt_sink(settings) as sink:
        wall, cpu = time.perf_counter(), time.process_time()
        for event in stream:
            await sink.emit(event)
        while sink.waiting:  # noqa: ASYNC110 - a wait of a millisecond at the end of seconds
            await asyncio.sleep(0.001)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
    return Throughput(count, count / wall, 1000 * cpu / count)


async def _one_by_one(settings: config.Settings, count: int) -> Latency:
    arrived = asyncio.Event()
    ready = asyncio.Event()

    async def read() -> None:
        async with contextlib.aclosing(follow(settings=settings)) as items:
            async for item in items:
                ready.set()  # what is retained comes first
                if isinstance(item, ReceivedEvent):
                    arrived.set()

    taken: list[float] = []
    async with mqtt_sink(settings) as sink:
        reading = asyncio.create_task(read())
        await ready.wait()
        for number in range(count):
            await asyncio.sleep(0.02)
            arrived.clear()
            event = sample_update("single", number)
            begun = time.perf_counter()
            await sink.emit(event)
            await arrived.wait()
            taken.append(1000 * (time.perf_counter() - begun))
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
    taken.sort()
    return Latency(count, statistics.median(taken), taken[int(0.95 * (count - 1))], taken[-1])


def sample_update(session: str, number: int) -> events.SpeechUpdate:
    """Return an event of the usual size."""
    probability = dict.fromkeys(("angry", "happy", "neutral", "sad"), 0.25)
    return events.SpeechUpdate(
        session=session,
        seq=number,
        time=datetime.now(UTC),
        channel="customer",
        start=float(number),
        end=number + 0.5,
        utterance=f"{session}-customer-{number}",
        probabilities=probability,
    )

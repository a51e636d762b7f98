"""A mosquitto on the loopback interface, to be killed and started again, and a bad link to it."""

import asyncio
import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import defaultdict
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion

from streamer.errors import UserError
from streamer.events import parse

_SBIN = "/usr/sbin:/usr/local/sbin"


def free_port() -> int:
    """Return a port that is free at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Mosquitto:
    """A broker that keeps its port and its persistent state from one start to the next.

    Args:
        folder: Its configuration and state.
        lines: Further lines of its configuration.
        port: Where it listens; None for a free port.
    """

    def __init__(self, folder: Path, *lines: str, port: int | None = None) -> None:
        self.port = port or free_port()
        self.pid = 0
        self._folder = folder
        self._lines = lines
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> Self:
        """Start it and waits until it listens.

        Raises:
            UserError: If it is not installed, or does not start.
        """
        program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:{_SBIN}")
        if program is None:
            raise UserError("the broker mosquitto is not installed (Debian: apt install mosquitto)")
        self._folder.mkdir(parents=True, exist_ok=True)
        file = self._folder / "mosquitto.conf"
        lines = (
            f"listener {self.port} 127.0.0.1",
            "allow_anonymous true",
            "persistence true",
            f"persistence_location {self._folder}/",
            f"user {os.environ.get('USER') or 'root'}",
            "max_queued_messages 0",
            *self._lines,
        )
        file.write_text("\n".join(lines), encoding="utf-8")
        self._process = subprocess.Popen(
            [program, "-c", file], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self.pid = self._process.pid
        while not self._listens():
            if self._process.poll() is not None:
                raise UserError(f"{program} does not start")
            time.sleep(0.01)
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End it with a signal."""
        if self._process is not None:
            self._process.send_signal(number)
            self._process.send_signal(signal.SIGCONT)
            self._process.wait(20)
            self._process = None

    def send(self, number: int) -> None:
        """Send it a signal, such as SIGSTOP."""
        if self._process is not None:
            self._process.send_signal(number)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class CutLink:
    """A TCP proxy that records what clients send, and ends connections.

    Args:
        port: Of the broker.
        seconds: Age at which each connection ends; None for connections that only `cut` ends.
    """

    def __init__(self, port: int, seconds: float | None = None) -> None:
        self.sent: list[bytearray] = []
        """Bytes from the client, by connection."""
        self.seconds = seconds
        self.port = port
        """Where connections go; may be changed."""
        self._open: set[asyncio.Event] = set()
        self._serving: set[asyncio.Task[None]] = set()

    def cut(self) -> None:
        """End all connections."""
        for event in self._open:
            event.set()

    def events(self, session: str = "call") -> list[list[int]]:
        """Return the numbers of the session's events that the client sent, by connection."""
        pattern = re.compile(rb'"session":"%s","seq":(\d+)' % re.escape(session.encode()))
        return [[int(seq) for seq in pattern.findall(data)] for data in self.sent]

    @contextlib.asynccontextmanager
    async def listening(self) -> AsyncIterator[int]:
        """Listen, and give the port."""
        async with await asyncio.start_server(self._serve, "127.0.0.1") as server:
            yield server.sockets[0].getsockname()[1]
            self.seconds = 0
            self.cut()
            await asyncio.gather(*self._serving, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(self._forward(reader, writer))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)
        await task

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        sent = bytearray()
        self.sent.append(sent)
        cut = asyncio.Event()
        self._open.add(cut)
        try:
            away, forth = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            writer.transport.abort()
            return
        pumps = [
            asyncio.create_task(_pump(reader, forth, sent)),
            asyncio.create_task(_pump(away, writer, bytearray())),
        ]
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(cut.wait(), self.seconds)
        self._open.discard(cut)
        for end in (writer, forth):
            end.transport.abort()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seen: bytearray
) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65_536):
            seen += data
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@dataclass
class Subscriber:
    """A plain client with a persistent session: the numbers of the events by session, as they came."""

    port: int
    seen: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    count: int = 0

    def __post_init__(self) -> None:
        self.client = paho.Client(
            CallbackAPIVersion.VERSION2, "recorder", clean_session=False, protocol=paho.MQTTv311
        )
        self.client.reconnect_delay_set(1, 1)
        self.client.on_message = lambda _c, _u, message: self._take(message)
        self.client.on_connect = lambda client, *_: client.subscribe("streamer/desk/+/+", 1)
        ready = threading.Event()
        self.client.on_subscribe = lambda *_: ready.set()
        self.client.connect("127.0.0.1", self.port)
        self.client.loop_start()
        ready.wait(10)

    def wait_for_more(self, count: int = 50) -> None:
        """Wait until some further events have come."""
        target = self.count + count
        deadline = time.monotonic() + 5
        while self.count < target and time.monotonic() < deadline:
            time.sleep(0.01)

    def close(self) -> None:
        """Disconnect."""
        self.client.disconnect()
        self.client.loop_stop()

    def _take(self, message: paho.MQTTMessage) -> None:
        if message.topic.endswith("speech_update"):
            event = parse(bytes(message.payload))
            self.seen[event.session].append(event.seq)
            self.count += 1

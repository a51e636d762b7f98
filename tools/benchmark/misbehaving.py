"""Clients that misbehave towards `streamer serve`: `python -m tools.benchmark.misbehaving HOST:PORT COUNT [KIND]`.

The token is that of the environment, STREAMER_WEB_TOKEN. Each client does one kind of harm, again and again with a
second's pause, until the process is ended. With a kind only its share of the COUNT clients is run.
"""

import asyncio
import contextlib
import json
import os
import random
import sys
from collections.abc import Awaitable, Callable

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import WebSocketException

from streamer.audio import SAMPLE_RATE
from tools.benchmark import calls

_PAUSE = 1.0
"""Seconds between two attempts of a client."""
_HUGE = 16 * 2**20
"""Bytes of a frame far over the server's limit."""

Client = Callable[["Target"], Awaitable[None]]


class Target:
    """The server, and what misbehaving clients send."""

    def __init__(self, address: str, token: str) -> None:
        self.address = address
        self.host, _, port = address.rpartition(":")
        self.port = int(port)
        self.token = token
        call = calls.read_call(calls.recordings(None)[0])
        self.audio = (call.samples.T * 32767).astype("<i2").tobytes()
        self.huge = bytes(_HUGE)

    def open(self, path: str = "/ws") -> connect:
        """Connect to an endpoint."""
        return connect(f"ws://{self.address}{path}", compression=None, max_size=None)

    def start(self, **fields: object) -> str:
        """Write the first message of a conversation."""
        start = {"type": "start", "channels": ["agent", "customer"], "token": self.token}
        return json.dumps(start | fields)


async def half_open(target: Target) -> None:
    """Begin a request and never end it."""
    _, writer = await asyncio.open_connection(target.host, target.port)
    try:
        for byte in b"GET /ws HTTP/1.1\r\nHost: x\r\nX-Slow: " + b"a" * 600:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(1.0)
    finally:
        writer.close()


async def silent(target: Target) -> None:
    """Open a WebSocket and say nothing."""
    async with target.open() as socket:
        await socket.wait_closed()


async def garbage_bytes(target: Target) -> None:
    """Send random bytes where HTTP is expected."""
    reader, writer = await asyncio.open_connection(target.host, target.port)
    try:
        writer.write(random.randbytes(20_000))
        await writer.drain()
        await asyncio.wait_for(reader.read(), 5.0)
    finally:
        writer.close()


async def garbage_messages(target: Target) -> None:
    """Send random bytes where JSON is expected."""
    async with target.open() as socket:
        await socket.send(random.randbytes(2_000))
        await socket.wait_closed()


async def garbage_audio(target: Target) -> None:
    """Announce WebM and send random bytes."""
    async with target.open() as socket:
        await socket.send(target.start(format="opus-in-webm"))
        for _ in range(20):
            await socket.send(random.randbytes(50_000))


async def huge_frames(target: Target) -> None:
    """Send a frame far over the limit."""
    async with target.open() as socket:
        await socket.send(target.start())
        await socket.send(target.huge)


async def wrong_token(target: Target) -> None:
    """Guess the token."""
    async with target.open() as socket:
        await socket.send(target.start(token=f"{random.getrandbits(128):x}"))
        await socket.wait_closed()


async def too_fast(target: Target) -> None:
    """Send live audio at 100 times its speed."""
    size = SAMPLE_RATE * 4 // 2  # half a second of two channels
    async with target.open() as socket:
        await socket.send(target.start())
        draining = asyncio.create_task(_drain(socket))
        try:
            for begin in range(0, len(target.audio), size):
                await socket.send(target.audio[begin : begin + size])
                await asyncio.sleep(0.005)
        finally:
            draining.cancel()


async def never_reading(target: Target) -> None:
    """Hold a conversation in real time and read no event."""
    size = SAMPLE_RATE * 4 // 10
    async with connect(f"ws://{target.address}/ws", compression=None, max_queue=1) as socket:
        await socket.send(target.start())
        for begin in range(0, len(target.audio), size):
            await socket.send(target.audio[begin : begin + size])
            await asyncio.sleep(0.1)


async def watching_unread(target: Target) -> None:
    """Watch a conversation, or the list of all, and read nothing."""
    async with target.open("/watch") as socket:
        await socket.send(json.dumps({"token": target.token}))
        listed = json.loads(await socket.recv())
    sessions = [each["session"] for each in listed["conversations"]]
    async with connect(f"ws://{target.address}/watch", compression=None, max_queue=1) as socket:
        chosen = {"session": random.choice(sessions)} if sessions else {}
        await socket.send(json.dumps({"token": target.token} | chosen))
        await asyncio.sleep(60)


async def _drain(socket: ClientConnection) -> None:
    async for _ in socket:
        pass


KINDS: dict[Client, int] = {
    half_open: 4,
    silent: 4,
    garbage_bytes: 3,
    garbage_messages: 3,
    garbage_audio: 2,
    huge_frames: 3,
    wrong_token: 4,
    too_fast: 4,
    never_reading: 1,
    watching_unread: 2,
}
"""Kind -> how many of 30 clients."""


NAMES = tuple(kind.__name__ for kind in KINDS)


async def misbehave(target: Target, count: int, only: str = "") -> None:
    """Run so many clients, or those of them that are of one kind, until cancelled."""
    kinds = [kind for kind, share in KINDS.items() for _ in range(share)]
    async with asyncio.TaskGroup() as group:
        for number in range(count):
            kind = kinds[number % len(kinds)]
            if only in ("", kind.__name__):
                group.create_task(_again(kind, target))


async def _again(client: Client, target: Target) -> None:
    while True:
        with contextlib.suppress(OSError, EOFError, TimeoutError, WebSocketException):
            await client(target)
        await asyncio.sleep(_PAUSE * (0.5 + random.random()))


if __name__ == "__main__":
    _target = Target(sys.argv[1], os.environ["STREAMER_WEB_TOKEN"])
    asyncio.run(misbehave(_target, int(sys.argv[2]), *sys.argv[3:4]))

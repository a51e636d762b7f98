"""Connections over HTTP that trickle: they are cut off, whatever still comes, and hold up nobody."""

import asyncio
import contextlib

import pytest

pytest.importorskip("uvicorn")

import uvicorn
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route

from streamer.web import protocol


@contextlib.asynccontextmanager
async def serving():
    """The port of a server with one page."""
    app = Starlette(routes=[Route("/", lambda _: PlainTextResponse("here"))])
    settings = {"host": "127.0.0.1", "port": 0, "http": protocol.BoundedHttp, "log_config": None}
    server = uvicorn.Server(uvicorn.Config(app, **settings))
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(60):
        while not server.started:  # noqa: ASYNC110 - it tells in no other way
            await asyncio.sleep(0.01)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await running


async def trickle(port, beginning):
    """Send a beginning, then a byte again and again; return when the connection is closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    with contextlib.suppress(ConnectionError):
        writer.write(beginning)
        while not reader.at_eof():
            writer.write(b"a")
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(0.02):
                    await reader.read(1000)
    writer.close()


async def get(port):
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    answer = await reader.read()
    writer.close()
    return answer


@pytest.mark.parametrize(
    "beginning",
    [
        b"",
        b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nSec-WebSocket-Key: ",
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n",
    ],
)
async def test_a_request_that_trickles_is_cut_off(monkeypatch, beginning):
    monkeypatch.setattr(protocol, "REQUEST", 0.3)
    async with serving() as port, asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(10):
            group.create_task(trickle(port, beginning))
        assert (await get(port)).endswith(b"here")

"""Bad network links: proxies between a client and a broker, each with a record of what the client sent."""

import asyncio
import re
from contextlib import asynccontextmanager, suppress


class CutLink:
    """A TCP proxy that ends each connection when `cut` is called, or `seconds` after it was opened."""

    def __init__(self, port: int, seconds: float | None = None) -> None:
        self.sent: list[bytearray] = []
        """Bytes from the client, by connection."""
        self._port = port
        self._seconds = seconds
        self._open: set[asyncio.Event] = set()

    def cut(self) -> None:
        """End all connections."""
        for event in self._open:
            event.set()

    def events(self, session: str = "call") -> list[list[int]]:
        """The numbers of the session's events that the client sent, by connection."""
        pattern = re.compile(rb'"session":"%s","seq":(\d+)' % session.encode())
        return [[int(seq) for seq in pattern.findall(data)] for data in self.sent]

    @asynccontextmanager
    async def listening(self):
        """Listen; gives the port."""
        async with await asyncio.start_server(self._serve, "127.0.0.1") as server:
            yield server.sockets[0].getsockname()[1]
            self._seconds = 0
            self.cut()

    async def _serve(self, reader, writer) -> None:
        sent = bytearray()
        self.sent.append(sent)
        cut = asyncio.Event()
        self._open.add(cut)
        try:
            away, forth = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.transport.abort()
            return
        pumps = [
            asyncio.create_task(_pump(reader, forth, sent)),
            asyncio.create_task(_pump(away, writer, bytearray())),
        ]
        with suppress(TimeoutError):
            await asyncio.wait_for(cut.wait(), self._seconds)
        self._open.discard(cut)
        for end in (writer, forth):
            end.transport.abort()
        for pump in pumps:
            pump.cancel()
        await asyncio.gather(*pumps, return_exceptions=True)


async def _pump(reader, writer, seen: bytearray) -> None:
    with suppress(OSError):
        while data := await reader.read(65_536):
            seen += data
            writer.write(data)
            await writer.drain()
    writer.transport.abort()

"""Listening for connections, and ending in order."""

import asyncio
import contextlib
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import uvicorn

from streamer.control import Control, LiveStatus
from streamer.conversation.pipeline import check
from streamer.errors import UserError
from streamer.sinks import Sink
from streamer.web.access import Access, read_token
from streamer.web.app import make_app
from streamer.web.connection import Limits, Services
from streamer.web.fleet import FleetWatcher
from streamer.web.hub import Hub
from streamer.web.protocol import BoundedHttp

if TYPE_CHECKING:
    from streamer.api import Engine
    from streamer.mqtt.address import Broker
    from streamer.web.settings import Web

_GRACE = 5.0
"""Seconds in which running conversations end when the server is stopped."""


@dataclass(frozen=True)
class Address:
    """Address to listen on."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can connect."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False


async def serve(  # noqa: PLR0913 - each is an option of its own
    engine: "Engine",
    web: "Web",
    address: Address,
    sinks: Callable[[Control, LiveStatus], Sequence[Sink]],
    stopped: Awaitable[object],
    ready: Callable[[str], None],
    *,
    audiosocket: Address | None = None,
    wyoming: Address | None = None,
    fleet: "Broker | None" = None,
) -> None:
    """Serve until stopped; then end all conversations properly and close.

    Args:
        engine: the models, shared by all conversations.
        web: limits and access.
        address: where to listen.
        sinks: makes the further sinks of each conversation.
        stopped: done when the server is to end.
        ready: called with the URL once connections are accepted.
        audiosocket: where Asterisk connects; loopback only.
        wyoming: where voice assistants connect; loopback only.
        fleet: the broker whose nodes the page shows.

    Raises:
        UserError: if the address cannot be used, or is open to others without a token, or the analysis lacks something.
    """
    access = Access(read_token(web), web.origins)
    if not address.loopback and not access.needs_token:
        raise UserError(
            f"--host {address.host}: reachable by others; set web.token.file or STREAMER_WEB_TOKEN"
        )
    await check(engine.runtime, engine.settings)
    hub = Hub(engine, sinks, most=web.max_conversations)
    limits = Limits(ahead=web.max_ahead)
    watcher = FleetWatcher(fleet) if fleet else None
    services = Services(hub, access, limits, fleet=watcher)
    server = _Server(
        uvicorn.Config(
            make_app(services),
            host=address.host,
            port=address.port,
            ws_max_size=limits.message,
            ws_max_queue=8,
            ws_per_message_deflate=False,  # audio hardly shrinks; it would cost each connection 300 kB
            http=BoundedHttp,
            log_level="error",  # its warnings are about garbage, which must not fill the log
            ssl_certfile=web.certificate,
            ssl_keyfile=web.key,
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )
    )
    serving = asyncio.create_task(server.serve_until_stopped())
    following = asyncio.create_task(watcher.run()) if watcher else None
    listeners: list[asyncio.Server] = []
    try:
        if audiosocket:
            from streamer.web.ingest.audiosocket import handler

            listeners.append(await _listen(audiosocket, handler(services), "--audiosocket"))
        if wyoming:
            from streamer.web.ingest import wyoming as protocol

            connected = protocol.handler(services, list(engine.bundle.languages))
            listeners.append(await _listen(wyoming, connected, "--wyoming"))
        started = asyncio.create_task(server.started_event.wait())
        await asyncio.wait({serving, started}, return_when=asyncio.FIRST_COMPLETED)
        if serving.done():
            serving.result()
            raise UserError(f"{address.host}:{address.port}: cannot listen there")
        scheme = "https" if web.certificate else "http"
        ready(f"{scheme}://{address.host}:{server.port}/")
        await stopped
    finally:
        for listener in listeners:
            listener.close()
        if following:
            following.cancel()
        await hub.close(_GRACE)
        server.should_exit = True
        with contextlib.suppress(Exception):
            await serving


async def _listen(
    address: Address,
    connected: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
    option: str,
) -> asyncio.Server:
    """Listen for a TCP protocol that has no way to prove who connects: on loopback only.

    Raises:
        UserError: if the address is another, or cannot be used.
    """
    if not address.loopback:
        raise UserError(
            f"{option} {address.host}: this protocol has no token; use a loopback address"
        )
    try:
        return await asyncio.start_server(connected, address.host, address.port)
    except OSError as error:
        reason = (error.strerror or "not possible").lower()
        raise UserError(f"{option} {address.host}:{address.port}: {reason}") from None


class _Server(uvicorn.Server):
    """Uvicorn without signal handlers of its own; says when it is ready."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.started_event = asyncio.Event()

    @property
    def port(self) -> int:
        """The port in use, also if 0 was asked for."""
        sockets = self.servers[0].sockets
        return int(sockets[0].getsockname()[1])

    async def serve_until_stopped(self) -> None:
        """Serve until `should_exit`."""
        try:
            await self._serve()
        except SystemExit:
            raise UserError(
                f"{self.config.host}:{self.config.port}: cannot listen there (address in use, or not this machine's)"
            ) from None

    async def startup(self, sockets: "list[object] | None" = None) -> None:  # type: ignore[override]
        """See uvicorn; then report."""
        await super().startup(sockets)  # type: ignore[arg-type]
        if self.started:
            self.started_event.set()

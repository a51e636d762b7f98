"""HTTP connections that cannot stay: a request has little time to arrive, and there is room for only so many."""

from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.h11_impl import H11Protocol

if TYPE_CHECKING:
    import asyncio

REQUEST = 10.0
"""Seconds within which a request must have arrived; a response that is under way has as long again."""
CONNECTIONS = 1000
"""Connections at a time, WebSockets among them."""


class BoundedHttp(H11Protocol):
    """HTTP/1.1 that closes connections which are slow, and refuses those for which there is no room."""

    def connection_made(self, transport: Any) -> None:
        """See `asyncio.Protocol`."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.abort()
            return
        self._answering = False
        self._timer = self.loop.call_later(REQUEST, self._expire)

    def connection_lost(self, exc: Exception | None) -> None:
        """See `asyncio.Protocol`."""
        if hasattr(self, "_timer"):
            self._timer.cancel()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: Any) -> None:
        """See uvicorn; the WebSocket has limits of its own."""
        self._timer.cancel()
        super().handle_websocket_upgrade(event)

    def _expire(self) -> None:
        transport: asyncio.Transport = self.transport
        under_way = self.cycle is not None and not self.cycle.response_complete
        if under_way and not self._answering:
            self._answering = True
            self._timer = self.loop.call_later(REQUEST, self._expire)
        elif under_way:
            transport.abort()
        else:
            transport.close()

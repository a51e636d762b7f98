"""The routes of the server."""

from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from streamer.web.connection import Services
from streamer.web.ingest import twilio
from streamer.web.ingest import websocket as ws

_STATIC = Path(__file__).with_name("static")
_POLICY = "default-src 'self'; connect-src 'self'; media-src 'self' blob:; frame-ancestors 'none'"


def make_app(services: Services) -> Starlette:
    """Make the application; conversations are the hub's."""

    async def page(_: Request) -> Response:
        return FileResponse(_STATIC / "index.html", headers={"Content-Security-Policy": _POLICY})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "conversations": len(services.hub.running)})

    async def ws_endpoint(websocket: WebSocket) -> None:
        await ws.serve(websocket, services)

    async def watch_endpoint(websocket: WebSocket) -> None:
        await ws.watch(websocket, services)

    async def twilio_endpoint(websocket: WebSocket) -> None:
        await twilio.serve(websocket, services)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/healthz", health),
            Route("/readyz", health),
            WebSocketRoute("/ws", ws_endpoint),
            WebSocketRoute("/watch", watch_endpoint),
            WebSocketRoute("/twilio", twilio_endpoint),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ]
    )

"""The routes of the server."""

from collections.abc import Awaitable, Callable
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from streamer.registry import ENDPOINTS
from streamer.web.connection import Services

_STATIC = Path(__file__).with_name("static")
_POLICY = "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'"


def make_app(services: Services) -> Starlette:
    """Make the application; conversations are the hub's."""

    async def page(_: Request) -> Response:
        return FileResponse(_STATIC / "index.html", headers={"Content-Security-Policy": _POLICY})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "conversations": len(services.hub.running)})

    async def metrics(request: Request) -> Response:
        if not services.access.allows_headers(request.headers):
            return Response("wrong or missing token\n", 401)
        text, kind = services.hub.metrics.text()
        return Response(text, media_type=kind)

    def endpoint(
        path: str, serve: Callable[[WebSocket, Services], Awaitable[None]]
    ) -> WebSocketRoute:
        async def served(websocket: WebSocket) -> None:
            await serve(websocket, services)

        return WebSocketRoute(path, served)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/healthz", health),
            Route("/readyz", health),
            Route("/metrics", metrics),
            *(endpoint(path, serve) for path, serve in ENDPOINTS.items()),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ]
    )

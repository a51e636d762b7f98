"""The routes of the server."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, HTMLResponse, JSONResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket

from streamer.registry import ENDPOINTS
from streamer.web.broadcast import Kept
from streamer.web.connection import UNAUTHORISED, Services

_STATIC = Path(__file__).with_name("static")
_POLICY = "default-src 'self'; img-src 'self' data:; media-src 'self' blob:; frame-ancestors 'none'; base-uri 'none'"
_PRIVATE = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}


def _render(history: Sequence[Kept]) -> str:
    """Make the report of a conversation."""
    from streamer.sinks.report.page import Report

    report = Report()
    for kept in history:
        report.take(kept.event())
    return report.render()


def make_app(services: Services) -> Starlette:
    """Make the application; conversations are the hub's."""

    async def page(_: Request) -> Response:
        return FileResponse(_STATIC / "index.html", headers={"Content-Security-Policy": _POLICY})

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok", "conversations": len(services.hub.running)})

    async def report(request: Request) -> Response:
        found = services.hub.find_report(request.path_params["name"])
        if found is None:
            return Response("no such report\n", 404)
        page = await asyncio.to_thread(_render, [*found.broadcast.history])
        return HTMLResponse(page, headers=_PRIVATE)

    async def metrics(request: Request) -> Response:
        if not services.access.allows_headers(request.headers):
            return Response("wrong or missing token\n", 401)
        text, kind = services.hub.metrics.text()
        return Response(text, media_type=kind)

    return Starlette(
        routes=[
            Route("/", page),
            Route("/healthz", health),
            Route("/readyz", health),
            Route("/metrics", metrics),
            Route("/reports/{name}", report),
            *(_endpoint(path, serve, services) for path, serve in ENDPOINTS.items()),
            Mount("/static", StaticFiles(directory=_STATIC)),
        ]
    )


def _endpoint(
    path: str, serve: Callable[[WebSocket, Services], Awaitable[None]], services: Services
) -> WebSocketRoute:
    """Make the route of an endpoint that pages of other origins cannot use."""

    async def served(websocket: WebSocket) -> None:
        if not services.access.allows_origin(websocket.headers):
            await websocket.close(UNAUTHORISED, "origin not allowed")
            return
        try:
            await serve(websocket, services)
        except asyncio.CancelledError:
            if not services.hub.closing:  # the end of the server cuts off who stays: no error
                raise

    return WebSocketRoute(path, served)

"""`/watch`: conversations seen, and steered, by others than those who send their audio.

The first message is JSON: `{"session": "call-1", "after": 41, "token": "..."}` gives the events of one conversation;
`after` is the `seq` of the last event that the watcher has: none comes twice. Without `session` the server sends
the list of conversations now and whenever it changes, with `{"fleet": true}` the nodes of the broker. To a conversation
the watcher may send `{"type": "mark"}`, `pause`, `resume`, `summary` and `end`.
"""

import asyncio
import contextlib
from typing import Any

from starlette.websockets import WebSocket

from streamer.web.connection import BAD_REQUEST, Refusal, Services, accepted, receive, relay, steer
from streamer.web.hub import Running

_INTERVAL = 2.0
"""Seconds after which the list is sent again, for what changes while conversations go on."""
_LEAST = 0.25
"""Seconds between two lists at least."""
_FOR_EVER = 10 * 365 * 86_400.0


async def serve(websocket: WebSocket, services: Services) -> None:
    """Serve one watcher."""
    async with accepted(websocket, services):
        first = await receive(websocket, services.limits.handshake)
        asked = first if isinstance(first, dict) else {}
        services.access.require(websocket.headers, asked.get("token"))
        running = _chosen(asked, services)
        work = asyncio.create_task(_watch(websocket, asked, running, services))
        leaving = asyncio.create_task(_take(websocket, running))
        try:
            await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
            for task in (work, leaving):
                if task.done():
                    task.result()
        finally:
            for task in (work, leaving):
                task.cancel()
            await asyncio.gather(work, leaving, return_exceptions=True)


def _chosen(asked: dict[str, Any], services: Services) -> Running | None:
    session = asked.get("session")
    if session is None:
        return None
    found = services.hub.find(str(session))
    if found is None:
        raise Refusal(BAD_REQUEST, "no such conversation")
    return found


async def _watch(
    websocket: WebSocket, asked: dict[str, Any], running: Running | None, services: Services
) -> None:
    if running:
        after = asked.get("after", -1)
        with running.broadcast.subscribe(after if isinstance(after, int) else -1) as subscription:
            await relay(websocket, subscription)
    elif asked.get("fleet") is True:
        await _show_fleet(websocket, services)
    else:
        await _show_list(websocket, services)


async def _show_list(websocket: WebSocket, services: Services) -> None:
    while True:
        changed = asyncio.create_task(services.hub.changed.wait())
        rows = [_row(running) for running in services.hub.conversations]
        await websocket.send_json(
            {
                "type": "conversations",
                "conversations": rows,
                "fleet": services.fleet is not None,
            }
        )
        await asyncio.sleep(_LEAST)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_INTERVAL):
                await changed


async def _show_fleet(websocket: WebSocket, services: Services) -> None:
    if services.fleet is None:
        raise Refusal(BAD_REQUEST, "no broker is watched")
    async for nodes in services.fleet.changes():
        await websocket.send_json(nodes)


async def _take(websocket: WebSocket, running: Running | None) -> None:
    """Take messages until the watcher has gone."""
    while True:
        message = await receive(websocket, _FOR_EVER)
        if running is None or isinstance(message, bytes):
            raise Refusal(BAD_REQUEST, "nothing is expected but the first message")
        if message.get("type") == "end":
            running.control.stop("finished")
        elif not running.finished:
            steer(running, message)


def _row(running: Running) -> dict[str, Any]:
    """Give what the list of conversations shows of one."""
    view = running.broadcast.view
    return {
        "session": running.session,
        "source": running.source.info.name,
        "channels": list(running.source.info.channels),
        "began": running.began.isoformat(timespec="seconds"),
        "finished": running.finished,
        "report": f"/reports/{running.report}" if running.finished else None,
        "position": round(view.position, 1),
        "utterances": view.utterances,
        "alerts": sum(view.alerts.values()),
        "lag": round(running.status.lag, 2),
        "lost": round(running.status.lost, 2),
        "behind": running.status.behind,
        "paused": running.control.paused,
    }

"""`/ws`: audio in, events out, on one WebSocket.

The first message is JSON: `{"type": "start", "format": "s16le", "rate": 16000, "channels": ["agent", "customer"],
"session": "call-1", "live": true, "token": "..."}`, all of it optional but the type. Binary messages follow, then
`{"type": "end"}`. Meanwhile `{"type": "mark", "label": "..."}`, `{"type": "pause"}` and `{"type": "resume"}` steer.
Events come back as the JSON of `streamer schema`; after `session_ended` the server closes with code 1000.
"""

import asyncio
import contextlib
from functools import partial
from typing import Any

from starlette.websockets import WebSocket

from streamer.sources import SourceInfo
from streamer.sources.network import NetworkSource
from streamer.web.connection import (
    BAD_REQUEST,
    Limits,
    Refusal,
    Services,
    accepted,
    converse,
    receive,
    relay,
)
from streamer.web.encodings import Decoder, decoder
from streamer.web.hub import Running, channel_names

_KINDS = ("start", "end", "mark", "pause", "resume")


async def serve(websocket: WebSocket, services: Services) -> None:
    """Serve one client from its first message to `session_ended`."""
    async with accepted(websocket, services):
        start = await receive(websocket, services.limits.handshake)
        if not isinstance(start, dict) or start.get("type") != "start":
            raise Refusal(BAD_REQUEST, 'expected {"type": "start", ...} first')
        services.access.require(websocket.headers, start.get("token"))
        source = _source(start, services)
        decoding = decoder(str(start.get("format", "s16le")), _rate(start), source)
        running = services.hub.start(source.info.session, source)
        feeding = _feed(websocket, running, decoding, services.limits)
        await converse(running, source, feeding, partial(relay, websocket))


async def _feed(
    websocket: WebSocket,
    running: Running,
    decoding: Decoder,
    limits: Limits,
) -> None:
    """Take messages until the client ends the audio.

    Raises:
        Refusal: if the client breaks the protocol or a limit.
        WebSocketDisconnect: if it has gone.
    """
    while True:
        message = await receive(websocket, limits.idle)
        if isinstance(message, bytes):
            await decoding.feed(message)
        elif message.get("type") == "end":
            await decoding.finish()
            return
        else:
            _steer(running, message)


def _steer(running: Running, message: dict[str, Any]) -> None:
    match message.get("type"):
        case "mark":
            label = message.get("label")
            running.control.mark(str(label)[:200] if label is not None else None)
        case "pause":
            running.control.paused = True
        case "resume":
            running.control.paused = False
        case _:
            raise Refusal(BAD_REQUEST, f"type: expected one of {', '.join(_KINDS[1:])}")


def _source(start: dict[str, Any], services: Services) -> NetworkSource:
    names = channel_names(start.get("channels"))
    wanted = start.get("session")
    session = services.hub.name_session(None if wanted is None else str(wanted), "ws")
    live = bool(start.get("live", True))
    return NetworkSource(SourceInfo("websocket", names, live, session), services.limits.ahead)


def _rate(start: dict[str, Any]) -> int:
    rate = start.get("rate", 16_000)
    if not isinstance(rate, int) or isinstance(rate, bool):
        raise Refusal(BAD_REQUEST, "rate: expected a number of Hz")
    return rate


async def watch(websocket: WebSocket, services: Services) -> None:
    """`/watch`: events of one conversation, or the list of all, for people with the token.

    The first message is JSON: `{"session": "call-1", "after": 41, "token": "..."}`; without `session` the server
    sends the list of conversations now and whenever it changes. `after` is the `seq` of the last event that the
    watcher has, so that none comes twice.
    """
    async with accepted(websocket, services):
        first = await receive(websocket, services.limits.handshake)
        asked = first if isinstance(first, dict) else {}
        services.access.require(websocket.headers, asked.get("token"))
        work = asyncio.create_task(_watch(websocket, asked, services))
        leaving = asyncio.create_task(_gone(websocket))
        try:
            await asyncio.wait({work, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                work.result()
        finally:
            for task in (work, leaving):
                task.cancel()
            await asyncio.gather(work, leaving, return_exceptions=True)


async def _watch(websocket: WebSocket, asked: dict[str, Any], services: Services) -> None:
    session = asked.get("session")
    if session is None:
        while True:
            changed = asyncio.create_task(services.hub.changed.wait())
            await websocket.send_json({"type": "conversations", "conversations": listing(services)})
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(changed, 2.0)
    found = services.hub.find(str(session))
    if found is None:
        raise Refusal(BAD_REQUEST, "no such conversation")
    after = asked.get("after", -1)
    with found.broadcast.subscribe(after if isinstance(after, int) else -1) as subscription:
        await relay(websocket, subscription)


async def _gone(websocket: WebSocket) -> None:
    """Return once the client has gone; what it sends is ignored."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass


def listing(services: Services) -> list[dict[str, Any]]:
    """Give what the list of conversations shows of each."""
    rows = []
    for running in services.hub.conversations:
        view = running.broadcast.view
        rows.append(
            {
                "session": running.session,
                "source": running.source.info.name,
                "channels": list(running.source.info.channels),
                "began": running.began.isoformat(timespec="seconds"),
                "finished": running.finished,
                "position": round(view.position, 1),
                "utterances": view.utterances,
                "alerts": sum(view.alerts.values()),
                "lag": round(running.status.lag, 2),
                "lost": round(running.status.lost, 2),
                "behind": running.status.behind,
                "paused": running.control.paused,
            }
        )
    return rows

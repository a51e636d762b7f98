"""`/ws`: audio in, events out, on one WebSocket.

The first message is JSON: `{"type": "start", "format": "s16le", "rate": 16000, "channels": ["agent", "customer"],
"session": "call-1", "live": true, "token": "..."}`, all of it optional but the type. Binary messages follow, then
`{"type": "end"}`. Meanwhile `{"type": "mark", "label": "..."}`, `{"type": "pause"}` and `{"type": "resume"}` steer, and
`{"type": "gap", "seconds": 2.5}` stands for audio that is missing. Events come back as the JSON of `streamer schema`;
after `session_ended` the server closes with code 1000, or with 1012 if it is being stopped itself.

After a lost connection the client sends its first message again with `"again": true`, which ends what is left of the
session, and a `gap` of the audio that it does not send once more: so the times of its events go on.
"""

import contextlib
from functools import partial
from typing import Any

from starlette.websockets import WebSocket

from streamer.audio import to_samples
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
    steer,
)
from streamer.web.encodings import Decoder, decoder
from streamer.web.hub import Running, names_of

_LONGEST_GAP = 86_400.0
"""Seconds."""


async def serve(websocket: WebSocket, services: Services) -> None:
    """Serve one client from its first message to `session_ended`."""
    async with accepted(websocket, services):
        start = await receive(websocket, services.limits.handshake)
        if not isinstance(start, dict) or start.get("type") != "start":
            raise Refusal(BAD_REQUEST, 'expected {"type": "start", ...} first')
        services.access.require(websocket.headers, start.get("token"))
        wanted, again = start.get("session"), start.get("again") is True
        again = again and isinstance(wanted, str) and await services.hub.end(wanted)
        source = _source(start, services)
        encoding = str(start.get("format", "s16le"))
        with contextlib.closing(decoder(encoding, _rate(start), source)) as decoding:
            running = services.hub.start(source.info.session, source, again=again)
            feeding = _feed(websocket, running, source, decoding, services.limits)
            await converse(running, source, feeding, partial(relay, websocket))


async def _feed(
    websocket: WebSocket,
    running: Running,
    source: NetworkSource,
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
        elif message.get("type") == "gap":
            samples = _gap(message.get("seconds"))
            for channel in range(len(source.info.channels)):
                await source.skip(channel, samples, "missing in the stream")
        else:
            steer(running, message)


def _gap(seconds: object) -> int:
    """Give the samples of a gap.

    Raises:
        Refusal: if its length is no number of seconds.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        raise Refusal(BAD_REQUEST, "seconds: expected a number")
    if not 0 <= seconds <= _LONGEST_GAP:
        raise Refusal(BAD_REQUEST, f"seconds: expected 0 to {_LONGEST_GAP:g}")
    return to_samples(seconds)


def _source(start: dict[str, Any], services: Services) -> NetworkSource:
    names = names_of(start.get("channels"))
    wanted = start.get("session")
    session = services.hub.name_session(None if wanted is None else str(wanted), "ws")
    live = bool(start.get("live", True))
    return NetworkSource(SourceInfo("websocket", names, live, session), services.limits.ahead)


def _rate(start: dict[str, Any]) -> int:
    rate = start.get("rate", 16_000)
    if not isinstance(rate, int) or isinstance(rate, bool):
        raise Refusal(BAD_REQUEST, "rate: expected a number of Hz")
    return rate

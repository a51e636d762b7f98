"""`/twilio`: Twilio Media Streams, one WebSocket for each call.

Messages are JSON: `connected`, `start` (call, tracks, custom parameters), `media` (base64 mu-law at 8 kHz, 20 ms, with
track and milliseconds since the stream began), `stop`. Inbound is the caller, outbound the other party. The token
comes as the custom parameter `token`, since Twilio sends no headers of ours. Events go to the watchers and sinks;
Twilio itself takes none.
"""

import base64
import binascii
from typing import Any

import numpy as np
from starlette.websockets import WebSocket

from streamer.audio import SAMPLE_RATE, Samples
from streamer.sources import SourceInfo
from streamer.sources.network import NetworkSource
from streamer.web.broadcast import Subscription
from streamer.web.connection import (
    BAD_REQUEST,
    Limits,
    Refusal,
    Services,
    accepted,
    converse,
    receive,
)
from streamer.web.encodings import RawChannels
from streamer.web.hub import Running

_RATE = 8_000
_TRACKS = {"inbound": "caller", "outbound": "agent"}
_JUMP = 0.1
"""Seconds by which a packet may be late before a gap is reported."""
_MAX_JUMP = 3600.0


async def serve(websocket: WebSocket, services: Services) -> None:
    """Serve one call from its first message to `stop`."""
    async with accepted(websocket, services):
        start = await _started(websocket, services.limits)
        parameters = _object(start.get("customParameters"))
        services.access.require(websocket.headers, parameters.get("token"))
        given = start.get("tracks")
        tracks = [t for t in given if t in _TRACKS] if isinstance(given, list) else []
        tracks = tracks or ["inbound"]
        wanted = parameters.get("session") or start.get("callSid")
        session = services.hub.name_session(None if wanted is None else str(wanted), "twilio")
        names = tuple(str(parameters.get(track) or _TRACKS[track])[:60] for track in tracks)
        source = NetworkSource(SourceInfo("twilio", names, True, session), services.limits.ahead)
        running = services.hub.start(session, source)
        media = _Media(source, tracks)
        await converse(running, source, _feed(websocket, media, running, services.limits), _discard)


class _Media:
    """Decode the packets of each track and find what is missing between them."""

    def __init__(self, source: NetworkSource, tracks: list[str]) -> None:
        self._source = source
        self._channels = {track: channel for channel, track in enumerate(tracks)}
        self._decoders = [RawChannels("mulaw", _RATE, 1) for _ in tracks]
        self._received = [0.0] * len(tracks)
        """Seconds of audio received or reported missing, by channel."""

    async def take(self, media: dict[str, Any]) -> None:
        """Take one `media` message."""
        channel = self._channels.get(str(media.get("track", "inbound")))
        if channel is None:
            return
        try:
            payload = base64.b64decode(str(media.get("payload", "")), validate=True)
            begin = int(media.get("timestamp", 0)) / 1000
        except (binascii.Error, ValueError, TypeError, OverflowError):
            raise Refusal(BAD_REQUEST, "media: expected base64 and milliseconds") from None
        missing = begin - self._received[channel]
        if _JUMP < missing < _MAX_JUMP:
            await self._push(channel, self._decoders[channel].decode(b"", last=True))
            self._decoders[channel] = RawChannels("mulaw", _RATE, 1)
            await self._source.skip(channel, round(missing * SAMPLE_RATE), "missing in the stream")
            self._received[channel] += missing
        self._received[channel] += len(payload) / _RATE
        await self._push(channel, self._decoders[channel].decode(payload))

    async def _push(self, channel: int, samples: Samples) -> None:
        await self._source.push(channel, np.ascontiguousarray(samples[:, 0]))


async def _started(websocket: WebSocket, limits: Limits) -> dict[str, Any]:
    """Wait for `start`; `connected` may come before it."""
    for _ in range(2):
        message = await receive(websocket, limits.handshake)
        if isinstance(message, dict) and message.get("event") == "start":
            return _object(message.get("start"))
    raise Refusal(BAD_REQUEST, "expected the event start")


async def _feed(websocket: WebSocket, media: _Media, running: Running, limits: Limits) -> None:
    while True:
        message = await receive(websocket, limits.idle)
        event = message.get("event") if isinstance(message, dict) else None
        if event == "media":
            await media.take(_object(message.get("media")))  # type: ignore[union-attr]
        elif event == "mark":
            mark = _object(message.get("mark"))  # type: ignore[union-attr]
            running.control.mark(str(mark.get("name", ""))[:200] or None)
        elif event == "stop":
            return


async def _discard(subscription: Subscription) -> None:
    async for _ in subscription:
        pass


def _object(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}

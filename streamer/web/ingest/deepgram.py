"""`/v1/listen`: the live protocol of Deepgram, so that client libraries of the field work unchanged.

Query parameters name `encoding` (linear16, mulaw, alaw, opus in Ogg or WebM without it), `sample_rate`, `channels`,
`multichannel`, `interim_results`, `vad_events`, `utterance_end_ms`. Binary messages are audio; `KeepAlive`,
`Finalize` and `CloseStream` are understood. `Results` carry our event beside the transcript, under `streamer`;
words are those of the transcript if `asr.words` is on, spread evenly over the utterance otherwise. Interim results need
`asr.partial`.
"""

import contextlib
import json
from datetime import UTC, datetime
from typing import Any

from starlette.datastructures import QueryParams
from starlette.websockets import WebSocket

from streamer import events
from streamer.errors import UserError
from streamer.sources import SourceInfo, channel_names
from streamer.sources.network import NetworkSource
from streamer.web.broadcast import Subscription
from streamer.web.connection import (
    Limits,
    Services,
    accepted,
    converse,
    receive,
)
from streamer.web.encodings import Decoder, decoder
from streamer.web.hub import MAX_CHANNELS

_ENCODINGS = {"linear16": "s16le", "mulaw": "mulaw", "alaw": "alaw", "ogg-opus": "ogg", "": "ogg"}
_YES = ("true", "1", "yes")


async def serve(websocket: WebSocket, services: Services) -> None:
    """Serve one client until `CloseStream`."""
    async with accepted(websocket, services):
        services.access.require(websocket.headers)
        query = websocket.query_params
        names = channel_names((), _number(query, "channels", 1, MAX_CHANNELS), "")
        session = services.hub.name_session(None, "deepgram")
        source = NetworkSource(SourceInfo("deepgram", names, True, session), services.limits.ahead)
        encoding = query.get("encoding", "")
        if encoding not in _ENCODINGS:
            raise UserError(f"encoding {encoding[:40]}: expected {', '.join(_ENCODINGS)}")
        rate = _number(query, "sample_rate", 16_000, 384_000)
        with contextlib.closing(decoder(_ENCODINGS[encoding], rate, source)) as decoding:
            running = services.hub.start(session, source)
            answers = _Answers(websocket, session, names, query)
            feeding = _feed(websocket, decoding, services.limits)
            await converse(running, source, feeding, answers.send)


async def _feed(websocket: WebSocket, decoding: Decoder, limits: Limits) -> None:
    while True:
        message = await receive(websocket, limits.idle)
        if isinstance(message, bytes):
            if not message:  # older clients end the audio so
                break
            await decoding.feed(message)
        elif message.get("type") == "CloseStream":
            break
    await decoding.finish()


class _Answers:
    """Writes events as Deepgram's messages."""

    def __init__(
        self, websocket: WebSocket, session: str, names: tuple[str, ...], query: QueryParams
    ) -> None:
        self._websocket = websocket
        self._session = session
        self._names = names
        self._interim = query.get("interim_results", "").lower() in _YES
        self._vad = query.get("vad_events", "").lower() in _YES
        self._ends = "utterance_end_ms" in query
        self._model: dict[str, Any] = {}

    async def send(self, subscription: Subscription) -> None:
        """Pass on the events until the session has ended."""
        async for event in subscription:
            match event:
                case events.SessionStarted():
                    self._model = {"name": event.model.name, "version": event.model.version}
                case events.SpeechStarted() if self._vad:
                    await self._send(
                        type="SpeechStarted", channel=self._index(event), timestamp=event.start
                    )
                case events.SpeechUpdate(text=str()) if self._interim:
                    await self._send(**self._results(event))
                case events.Utterance():
                    await self._send(**self._results(event))
                    if self._ends:
                        await self._send(
                            type="UtteranceEnd",
                            channel=self._index(event),
                            last_word_end=event.end,
                        )
                case events.SessionEnded():
                    await self._send(
                        type="Metadata",
                        transaction_key="deprecated",
                        request_id=self._session,
                        sha256="",
                        created=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S}Z",
                        duration=event.duration,
                        channels=len(self._names),
                    )
                case _:
                    pass

    def _results(self, event: events.SpeechUpdate | events.Utterance) -> dict[str, Any]:
        final = isinstance(event, events.Utterance)
        alternative = {
            "transcript": event.text or "",
            "confidence": _mean([w["confidence"] for w in _words(event)]),
            "words": _words(event),
        }
        return {
            "type": "Results",
            "channel_index": self._index(event),
            "duration": round(event.end - event.start, 3),
            "start": event.start,
            "is_final": final,
            "speech_final": final,
            "from_finalize": False,
            "channel": {"alternatives": [alternative]},
            "metadata": {
                "request_id": self._session,
                "model_uuid": self._session,
                "model_info": {"arch": "streamer", **self._model},
            },
            "streamer": json.loads(event.to_json()),
        }

    def _index(
        self, event: events.SpeechStarted | events.SpeechUpdate | events.Utterance
    ) -> list[int]:
        return [self._names.index(event.channel), len(self._names)]

    async def _send(self, **message: Any) -> None:
        await self._websocket.send_text(json.dumps(message))


def _words(event: events.SpeechUpdate | events.Utterance) -> list[dict[str, Any]]:
    if isinstance(event, events.Utterance) and event.words is not None:
        return [
            {
                "word": word.word.strip().strip(".,!?").lower(),
                "punctuated_word": word.word.strip(),
                "start": word.start,
                "end": word.end,
                "confidence": word.confidence if word.confidence is not None else 0.0,
            }
            for word in event.words
        ]
    said = (event.text or "").split()
    step = (event.end - event.start) / max(1, len(said))
    return [
        {
            "word": word.strip(".,!?").lower(),
            "punctuated_word": word,
            "start": round(event.start + place * step, 3),
            "end": round(event.start + (place + 1) * step, 3),
            "confidence": 0.0,
        }
        for place, word in enumerate(said)
    ]


def _mean(values: list[float]) -> float:
    return round(sum(values) / len(values), 4) if values else 0.0


def _number(query: QueryParams, name: str, default: int, most: int) -> int:
    text = query.get(name, str(default))
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= most:
        raise UserError(f"{name} {text[:40]}: expected 1 to {most}")
    return int(text)

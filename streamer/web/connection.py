"""What all WebSocket endpoints share: limits, close codes, relaying events."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from streamer.errors import UserError
from streamer.web.access import Access
from streamer.web.broadcast import Subscription
from streamer.web.hub import BusyError, Hub

log = logging.getLogger(__name__)

BAD_REQUEST, UNAUTHORISED, TOO_FAST, TOO_SLOW, BUSY = 4400, 4401, 4429, 4408, 1013
"""Close codes: malformed messages; wrong token; more audio than real time allows; silence; no room."""
INTERNAL = 1011
_MAX_REASON = 120
"""A close frame holds 123 bytes of reason."""


@dataclass(frozen=True)
class Limits:
    """What one connection may ask for."""

    handshake: float = 10.0
    """Seconds until the first message."""
    idle: float = 60.0
    """Seconds without a message from a client that sends audio."""
    ahead: float = 30.0
    """Seconds of live audio beyond real time."""
    message: int = 1_048_576
    """Bytes of one message."""


@dataclass(frozen=True)
class Services:
    """What endpoints work with."""

    hub: Hub
    access: Access
    limits: Limits


class Refusal(Exception):  # noqa: N818 - an outcome of the protocol, not a defect
    """The connection is closed with a code and a reason for its user."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@contextlib.asynccontextmanager
async def closing(websocket: WebSocket) -> AsyncIterator[None]:
    """Close a connection with the code and reason of what ended it; a client's disappearance is silent."""
    code, reason = 1000, ""
    try:
        yield
    except WebSocketDisconnect:
        return
    except Refusal as refusal:
        code, reason = refusal.code, str(refusal)
    except UserError as error:
        code, reason = BAD_REQUEST, str(error)
    except BusyError as error:
        code, reason = BUSY, str(error)
    except Exception:
        log.exception("a connection failed")
        code, reason = INTERNAL, "internal error"
    with contextlib.suppress(RuntimeError, WebSocketDisconnect):
        await websocket.close(code, reason.encode()[:_MAX_REASON].decode(errors="ignore"))


async def receive(websocket: WebSocket, within: float) -> "dict[str, Any] | bytes":
    """Receive the next message: a JSON object, or bytes.

    Raises:
        Refusal: if it does not come in time or is no JSON object.
        WebSocketDisconnect: if the client has gone.
    """
    try:
        async with asyncio.timeout(within):
            message = await websocket.receive()
    except TimeoutError:
        raise Refusal(TOO_SLOW, f"no message within {within:g} s") from None
    if message["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(message.get("code", 1006))
    if (data := message.get("bytes")) is not None:
        return bytes(data)
    return parse(message.get("text") or "")


def parse(text: str) -> dict[str, Any]:
    """Parse a message of JSON.

    Raises:
        Refusal: if it is no JSON object.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise Refusal(BAD_REQUEST, "expected a JSON object")
    return found


async def relay(websocket: WebSocket, subscription: Subscription) -> None:
    """Send events as JSON until the conversation ends; skipped ones as `{"type": "skipped", "count": N}`."""
    async for event in subscription:
        text = (
            json.dumps({"type": "skipped", "count": event})
            if isinstance(event, int)
            else event.to_json()
        )
        await websocket.send_text(text)

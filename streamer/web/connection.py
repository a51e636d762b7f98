"""Base of all WebSocket endpoints: limits, close codes, relaying events."""

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from streamer.errors import UserError
from streamer.sources.network import AheadError, NetworkSource
from streamer.web.access import Access, ForbiddenError
from streamer.web.broadcast import Subscription
from streamer.web.hub import BusyError, Hub, Running
from streamer.web.refusals import Refusals

if TYPE_CHECKING:
    from streamer.web.fleet import FleetWatcher

log = logging.getLogger(__name__)

BAD_REQUEST, UNAUTHORISED, TOO_FAST, TOO_SLOW, BUSY = 4400, 4401, 4429, 4408, 1013
"""Close codes: malformed messages; wrong token; more audio than real time allows; silence; no room."""
INTERNAL, RESTARTING = 1011, 1012
_REFUSED = {BAD_REQUEST: 0.0, UNAUTHORISED: 1.0, BUSY: 1.0, TOO_FAST: 10.0}
"""Close code -> seconds, at least, until a client receives it."""
_MAX_REASON = 120
"""A close frame holds 123 bytes of reason."""


@dataclass(frozen=True)
class Limits:
    """Limits of one connection."""

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
    """Services that endpoints use."""

    hub: Hub
    access: Access
    limits: Limits
    refusals: Refusals = field(default_factory=Refusals)
    fleet: "FleetWatcher | None" = None
    """The nodes of a broker, if they are shown."""


class Refusal(Exception):  # noqa: N818 - an outcome of the protocol, not a defect
    """The connection is closed with a code and a reason for its user."""

    def __init__(self, code: int, reason: str) -> None:
        super().__init__(reason)
        self.code = code


@contextlib.asynccontextmanager
async def accepted(websocket: WebSocket, services: Services) -> AsyncIterator[None]:
    """Accept a connection; close it with the code and reason of what ended it."""
    await websocket.accept()
    code, reason = 1000, ""
    try:
        yield
    except WebSocketDisconnect:
        return
    except Refusal as refusal:
        code, reason = refusal.code, str(refusal)
    except ForbiddenError as error:
        code, reason = UNAUTHORISED, str(error)
    except AheadError as error:
        code, reason = TOO_FAST, str(error)
    except UserError as error:
        code, reason = BAD_REQUEST, str(error)
    except BusyError as error:
        code, reason = BUSY, str(error)
    except Exception:
        log.exception("a connection failed")
        code, reason = INTERNAL, "internal error"
    if code == 1000 and services.hub.closing:
        code, reason = RESTARTING, "the server is being stopped"
    await _close(websocket, code, reason, services)


async def _close(websocket: WebSocket, code: int, reason: str, services: Services) -> None:
    if code in _REFUSED:
        await services.hub.pause(services.refusals.wait(code, _REFUSED[code]))
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


async def converse(
    running: Running,
    source: NetworkSource,
    receiving: Coroutine[Any, Any, None],
    sending: Callable[[Subscription], Coroutine[Any, Any, None]],
) -> None:
    """Feed audio in and pass events out until the conversation has ended.

    Args:
        running: the conversation.
        source: its audio; ended here, with the reason if `receiving` fails.
        receiving: takes the client's messages until the audio ends.
        sending: passes events on until there are no more.

    Raises:
        Exception: what ended `receiving`, once the events that still came have been sent.
    """
    with running.broadcast.subscribe() as subscription:
        outward = asyncio.create_task(sending(subscription))
        inward = asyncio.create_task(receiving)
        try:
            await asyncio.wait({outward, inward}, return_when=asyncio.FIRST_COMPLETED)
            if inward.done():
                failure = inward.exception()
                await source.end(_reason(failure))
                if isinstance(failure, AheadError):  # the audio that waits is over the limit
                    log.warning("conversation %s: %s", running.session, failure)
                    running.control.stop("failed")
                if running.task:
                    await asyncio.wait({running.task})
                if not isinstance(failure, WebSocketDisconnect):
                    await outward  # the last events are for the client all the same
                if failure is not None:
                    raise failure
            await outward
        finally:
            for task in (outward, inward):
                task.cancel()
            await asyncio.gather(outward, inward, return_exceptions=True)
            running.control.stop("finished")


def _reason(failure: BaseException | None) -> str | None:
    """Return the conversation's reason for the end of its audio."""
    if isinstance(failure, WebSocketDisconnect):
        return "the connection was lost"
    return str(failure) if failure is not None else None


async def relay(websocket: WebSocket, subscription: Subscription) -> None:
    """Send events as JSON until the conversation ends; skipped ones as `{"type": "skipped", "count": N}`."""
    async for event in subscription:
        text = (
            json.dumps({"type": "skipped", "count": event})
            if isinstance(event, int)
            else event.to_json()
        )
        await websocket.send_text(text)


def steer(running: Running, message: dict[str, Any]) -> None:
    """Do what a message asks of a conversation: mark, pause, resume, summary.

    Raises:
        Refusal: if it asks for anything else.
    """
    match message.get("type"):
        case "mark":
            label = message.get("label")
            running.control.mark(str(label)[:200] if label is not None else None)
        case "pause":
            running.control.paused = True
        case "resume":
            running.control.paused = False
        case "summary":
            running.control.summarize()
        case _:
            raise Refusal(BAD_REQUEST, "type: expected end, mark, pause, resume or summary")

"""The other end: the events that a broker brings, each once, in order, with what is missing."""

import logging
import random
import uuid
from asyncio import sleep
from collections import OrderedDict
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import AwareDatetime, BaseModel, Field, ValidationError

from streamer import events
from streamer.errors import UserError
from streamer.mqtt.address import Broker, broker
from streamer.mqtt.client import Received, Remember
from streamer.mqtt.connection import Connection, connect
from streamer.mqtt.problems import BrokerError, RefusedError
from streamer.mqtt.publisher import FIRST_DELAY
from streamer.mqtt.state import SpeakerState
from streamer.mqtt.topics import segment
from streamer.settings import load as configuration
from streamer.settings import tree as config

log = logging.getLogger(__name__)

MAX_SESSIONS = 1000
"""Conversations whose place is remembered."""

PATIENCE = 300.0
"""Seconds that a broker keeps events for a subscriber that has lost its connection."""

DURABLE = 7 * 86_400.0
"""The same for a subscriber that has a name of its own."""


@dataclass(frozen=True, slots=True)
class Arrived:
    """An event."""

    node: str
    event: events.Event
    payload: bytes


@dataclass(frozen=True, slots=True)
class Missing:
    """Events of a session, numbered `first` to `last`, that did not arrive before a later one."""

    node: str
    session: str
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class Speaker:
    """What is retained about a speaker."""

    node: str
    state: SpeakerState


@dataclass(frozen=True, slots=True)
class Availability:
    """A node is online, offline or stopped."""

    node: str
    value: str


@dataclass(frozen=True, slots=True)
class Link:
    """The connection to the broker is gone, for a reason, or is back."""

    problem: str | None


Item = Arrived | Missing | Speaker | Availability | Link


class Order:
    """Puts what arrives in order: drops repeats, and notices what is missing."""

    def __init__(self) -> None:
        self._places: OrderedDict[tuple[str, str], _Place] = OrderedDict()

    def take(self, node: str, payload: bytes) -> list[Arrived | Missing]:
        """What a payload brings: an event, perhaps after others that are missing, or nothing."""
        try:
            cover = _Cover.model_validate_json(payload)
        except ValidationError:
            log.debug("not an event from %s", node)
            return []
        place = self._place(node, cover.session)
        if cover.type == "session_started" and cover.time != place.started:
            place.started = cover.time
            place.last = None  # the same session, recorded anew
        if place.last is not None and cover.seq <= place.last:
            return []
        found: list[Arrived | Missing] = []
        after = cover.after if "after" in cover.model_fields_set else cover.seq - 1
        if place.last is not None and after is not None and after > place.last:
            found.append(Missing(node, cover.session, place.last + 1, after))
        place.last = cover.seq
        try:
            found.append(Arrived(node, events.parse(payload), payload))
        except ValidationError:
            log.debug("not an event of this version from %s", node)
        return found

    def _place(self, node: str, session: str) -> "_Place":
        key = node, session
        place = self._places.setdefault(key, _Place())
        self._places.move_to_end(key)
        if len(self._places) > MAX_SESSIONS:
            self._places.popitem(last=False)
        return place


class _Cover(BaseModel):
    """What every event has, those of later versions too, and what the publisher adds."""

    session: str
    seq: int = Field(ge=0)
    type: str
    time: AwareDatetime
    after: int | None = None
    """The event before this one, if those between were left out on purpose."""


@dataclass(slots=True)
class _Place:
    last: int | None = None
    started: datetime | None = None


async def subscribe(
    url: str | None = None,
    *,
    session: str | None = None,
    node: str | None = None,
    durable: str | None = None,
    settings: config.Settings | None = None,
) -> AsyncGenerator[events.Event, None]:
    """The events that a broker brings, for ever: each once, in order within its session.

    Lost connections are made again. An event counts as received when the next one is asked for, so a loop that
    falls behind is not flooded, and one with a `durable` name that breaks off gets the event again.

    Args:
        url: broker and prefix, `mqtt[s]://[USER@]HOST[:PORT][/PREFIX]`; None for the one in the settings.
        session: only this one.
        node: only this publisher.
        durable: a name under which the broker keeps events (MQTT 5: a week) while nobody listens.
        settings: with the password and certificates; None for the environment's.

    Raises:
        UserError: if there is no such broker, or it refuses us.
    """
    async for item in follow(url, session=session, node=node, durable=durable, settings=settings):
        if isinstance(item, Arrived):
            yield item.event


async def follow(
    url: str | None = None,
    *,
    session: str | None = None,
    node: str | None = None,
    durable: str | None = None,
    settings: config.Settings | None = None,
) -> AsyncGenerator[Item, None]:
    """Like `subscribe`, with all that there is to know: states, availability, what is missing.

    Raises:
        UserError: see `subscribe`.
    """
    settings = settings or configuration.load()
    target = broker(settings.mqtt, url)
    identifier = durable or f"streamer-{uuid.uuid4().hex[:12]}"
    remember = Remember(DURABLE if durable else PATIENCE, for_good=durable is not None)
    order = Order()
    attempts = 0
    reached = False
    while True:
        try:
            async with connect(target, identifier=identifier, remember=remember) as link:
                await _enter(link, _filters(target, session, node))
                if reached:
                    yield Link(None)
                reached = True
                attempts = 0
                async for message in link.messages():
                    for item in _items(target, order, message):
                        yield item
                    link.acknowledge(message)
        except BrokerError as error:
            if isinstance(error, RefusedError) or not reached:
                raise UserError(f"MQTT broker {target}: {error}") from None
            if attempts == 0:
                yield Link(str(error))
        attempts += 1
        delay = min(settings.mqtt.reconnect_max, FIRST_DELAY * 2.0 ** min(attempts, 20))
        await sleep(delay * random.uniform(0.5, 1))


async def _enter(link: Connection, filters: list[str]) -> None:
    denied = await link.subscribe(filters)
    if denied:
        raise RefusedError(f"not allowed to read {', '.join(denied)}")


def _filters(target: Broker, session: str | None, node: str | None) -> list[str]:
    root = f"{target.topics.prefix}/{segment(node) if node else '+'}"
    if session is None:
        return [f"{root}/+/+", f"{root}/availability"]
    return [f"{root}/{segment(session)}/+", f"{root}/state/+", f"{root}/availability"]


def _items(target: Broker, order: Order, message: Received) -> list[Any]:
    levels = message.topic.removeprefix(f"{target.topics.prefix}/").split("/")
    match levels:
        case [node, "availability"]:
            return [Availability(node, message.payload.decode(errors="replace"))]
        case [node, "state", _]:
            try:
                return [Speaker(node, SpeakerState.model_validate_json(message.payload))]
            except ValidationError:  # an empty one: forgotten
                return []
        case [_, "command", _]:
            return []
        case [node, _, _]:
            return list(order.take(node, message.payload))
    return []

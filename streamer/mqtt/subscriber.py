"""Subscribe to the events of a broker: each once, in order, with missing ones noticed."""

import uuid
from asyncio import sleep
from collections.abc import AsyncGenerator

from pydantic import ValidationError

from streamer import events
from streamer.errors import UserError
from streamer.mqtt.address import Broker, broker
from streamer.mqtt.backoff import Backoff
from streamer.mqtt.connection import Connection, connect
from streamer.mqtt.items import (
    Availability,
    ConnectionChange,
    EventOrder,
    Item,
    ReceivedEvent,
    RetainedState,
)
from streamer.mqtt.messages import Message, Persistence
from streamer.mqtt.problems import BrokerError, RefusedError
from streamer.mqtt.state import SpeakerState
from streamer.mqtt.topics import segment
from streamer.settings import load as configuration
from streamer.settings import tree as config

SESSION_EXPIRY = 300.0
"""Seconds that a broker keeps events for a subscriber that has lost its connection."""

DURABLE_EXPIRY = 7 * 86_400.0
"""The same for a subscriber with a durable name."""


async def subscribe(
    url: str | None = None,
    *,
    session: str | None = None,
    node: str | None = None,
    durable: str | None = None,
    settings: config.Settings | None = None,
) -> AsyncGenerator[events.Event, None]:
    """Give the events of a broker, for ever: each once, in order within its session.

    Lost connections are restored. An event counts as received when the next one is requested: a slow loop is not
    flooded, and a failed one with a `durable` name gets the event again.

    Args:
        url: broker and prefix, `mqtt[s]://[USER@]HOST[:PORT][/PREFIX]`; None for the settings' one.
        session: only this one.
        node: only this publisher.
        durable: a name under which the broker keeps events (MQTT 5: a week) while nobody subscribes.
        settings: with the password and certificates; None for those of the environment.

    Raises:
        UserError: if there is no such broker, or it refuses the client.
    """
    async for item in follow(url, session=session, node=node, durable=durable, settings=settings):
        if isinstance(item, ReceivedEvent):
            yield item.event


async def follow(
    url: str | None = None,
    *,
    session: str | None = None,
    node: str | None = None,
    durable: str | None = None,
    settings: config.Settings | None = None,
) -> AsyncGenerator[Item, None]:
    """Follow like `subscribe`, with retained states, availability, missing events and connection changes.

    Raises:
        UserError: see `subscribe`.
    """
    settings = settings or configuration.load()
    target = broker(settings.mqtt, url)
    identifier = durable or f"streamer-{uuid.uuid4().hex[:12]}"
    persistence = Persistence(
        DURABLE_EXPIRY if durable else SESSION_EXPIRY, unlimited=durable is not None
    )
    order = EventOrder()
    backoff = Backoff()
    lost = False
    reached = False
    while True:
        try:
            async with connect(
                target, identifier=identifier, persistence=persistence
            ) as connection:
                await _enter(connection, _filters(target, session, node))
                if lost:
                    yield ConnectionChange(None)
                reached, lost = True, False
                async for message in connection.messages():
                    if not message.retained:
                        backoff.reset()
                    for item in _items(target, order, message):
                        yield item
                    connection.acknowledge(message)
        except BrokerError as error:
            if isinstance(error, RefusedError) or not reached:
                raise UserError(f"MQTT broker {target}: {error}") from None
            if not lost:
                yield ConnectionChange(str(error))
            lost = True
        await sleep(backoff.next())


async def _enter(connection: Connection, filters: list[str]) -> None:
    denied = await connection.subscribe(filters)
    if denied:
        raise RefusedError(f"not permitted to read {', '.join(denied)}")


def _filters(target: Broker, session: str | None, node: str | None) -> list[str]:
    root = f"{target.topics.prefix}/{segment(node) if node else '+'}"
    if session is None:
        return [f"{root}/+/+", f"{root}/availability"]
    return [f"{root}/{segment(session)}/+", f"{root}/state/+", f"{root}/availability"]


def _items(target: Broker, order: EventOrder, message: Message) -> list[Item]:
    levels = message.topic.removeprefix(f"{target.topics.prefix}/").split("/")
    match levels:
        case [node, "availability"]:
            return [Availability(node, message.payload.decode(errors="replace"))]
        case [node, "state", _]:
            try:
                return [RetainedState(node, SpeakerState.model_validate_json(message.payload))]
            except ValidationError:  # an empty one: forgotten
                return []
        case [_, "command", _]:
            return []
        case [node, _, _]:
            return list(order.take(node, message.payload))
    return []

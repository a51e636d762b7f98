"""Remove a node's retained messages from its broker."""

import asyncio
import uuid
from contextlib import suppress

from streamer.errors import UserError
from streamer.mqtt.address import broker
from streamer.mqtt.connection import Connection, connect
from streamer.mqtt.home_assistant import discovery_topic
from streamer.mqtt.presence import ONLINE
from streamer.mqtt.problems import BrokerError, RefusedError
from streamer.settings import tree as config


async def forget(settings: config.Settings, url: str | None = None, *, force: bool = False) -> int:
    """Remove the retained messages of the node in the settings; give their number.

    Args:
        settings: all settings.
        url: broker and prefix, instead of the settings' one.
        force: even if the node is online.

    Raises:
        UserError: if the broker is unreachable or refuses the client, or if the node is online.
    """
    target = broker(settings.mqtt, url)
    topics = target.topics
    try:
        async with connect(target, identifier=f"streamer-{uuid.uuid4().hex[:12]}") as connection:
            found = await _retained(connection, f"{topics.root}/#", f"{topics.root}/forget")
            if found.get(topics.availability) == ONLINE.encode() and not force:
                raise UserError(f"MQTT: node {topics.node} is online; stop it first, or --force")
            discovery = discovery_topic(topics)
            # Without the right to publish there, no device was announced either.
            with suppress(RefusedError):
                await connection.publish(discovery, "")
            for topic in found:
                await connection.publish(topic, "")
    except BrokerError as error:
        raise UserError(f"MQTT broker {target}: {error}") from None
    except TimeoutError:
        raise UserError(f"MQTT broker {target}: no permission to read {topics.root}") from None
    return len(found)


async def _retained(connection: Connection, pattern: str, end: str) -> dict[str, bytes]:
    """Return the retained messages of a pattern, by topic; an own message to `end` marks the end of them."""
    if denied := await connection.subscribe([pattern]):
        raise RefusedError(f"not permitted to read {', '.join(denied)}")
    found: dict[str, bytes] = {}
    await connection.publish(end, "", retain=False)
    async with asyncio.timeout(10):
        async for message in connection.messages():
            connection.acknowledge(message)
            if message.topic == end:
                break
            if message.retained and message.payload:
                found[message.topic] = message.payload
    return found

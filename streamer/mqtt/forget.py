"""Take a node's retained messages off its broker, as if it had never been there."""

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
    """Remove all that is retained about the node of the settings; give the number of messages.

    Args:
        settings: all settings.
        url: broker and prefix, instead of the one in the settings.
        force: also if the node is online.

    Raises:
        UserError: if the broker is away or refuses us, or if the node is online.
    """
    target = broker(settings.mqtt, url)
    topics = target.topics
    try:
        async with connect(target, identifier=f"streamer-{uuid.uuid4().hex[:12]}") as link:
            found = await _retained(link, f"{topics.root}/#", f"{topics.root}/forget")
            if found.get(topics.availability) == ONLINE.encode() and not force:
                raise UserError(f"MQTT: node {topics.node} is online; stop it first, or --force")
            discovery = discovery_topic(settings.mqtt.discovery_prefix, topics)
            # Discovery may be out of our reach: then there was nothing of ours to remove.
            with suppress(RefusedError):
                await link.publish(discovery, "")
            for topic in found:
                await link.publish(topic, "")
    except BrokerError as error:
        raise UserError(f"MQTT broker {target}: {error}") from None
    except TimeoutError:
        raise UserError(f"MQTT broker {target}: it lets us read nothing of {topics.root}") from None
    return len(found)


async def _retained(link: Connection, pattern: str, end: str) -> dict[str, bytes]:
    """What is retained under a pattern; a message of our own to `end` shows that there is no more."""
    if denied := await link.subscribe([pattern]):
        raise RefusedError(f"not allowed to read {', '.join(denied)}")
    found: dict[str, bytes] = {}
    await link.publish(end, "", retain=False)
    async with asyncio.timeout(10):
        async for message in link.messages():
            link.acknowledge(message)
            if message.topic == end:
                break
            if message.retained and message.payload:
                found[message.topic] = message.payload
    return found

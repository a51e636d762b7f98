"""Read topics with aiomqtt, where acknowledgements and persistence do not matter."""

import uuid
from asyncio import sleep
from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass

import aiomqtt

from streamer.errors import UserError
from streamer.mqtt.address import Broker
from streamer.mqtt.backoff import Backoff
from streamer.mqtt.items import ConnectionChange
from streamer.mqtt.problems import UNSUPPORTED_PROTOCOL

ANSWER_TIMEOUT = 5.0
"""Seconds that a broker may take to answer."""

_VERSIONS = {
    "auto": (aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311),
    "5": (aiomqtt.ProtocolVersion.V5,),
    "3.1.1": (aiomqtt.ProtocolVersion.V311,),
}


@dataclass(frozen=True, slots=True)
class Reading:
    """A received message."""

    topic: str
    payload: bytes
    retained: bool


async def read(
    broker: Broker, topics: Sequence[str]
) -> AsyncGenerator[Reading | ConnectionChange, None]:
    """Give the messages of topics, for ever, with QoS 0; lost connections are restored.

    QoS 0 fits topics whose latest message replaces all former ones: nothing queues at the broker.

    Raises:
        UserError: if the broker is unreachable at the beginning, or refuses the client.
    """
    backoff = Backoff()
    versions = list(_VERSIONS[broker.protocol])
    reached, lost = False, False
    while True:
        try:
            async with _client(broker, versions[0]) as client:
                await client.subscribe([(topic, 0) for topic in topics])
                if lost:
                    yield ConnectionChange(None)
                reached, lost = True, False
                async for message in client.messages:
                    if not message.retain:
                        backoff.reset()
                    payload = message.payload if isinstance(message.payload, bytes) else b""
                    yield Reading(str(message.topic), payload, message.retain)
        except aiomqtt.MqttError as error:
            refused = getattr(error, "rc", None)
            old = refused == UNSUPPORTED_PROTOCOL or refused is None
            if not reached and old and len(versions) > 1:
                versions.pop(0)
                continue
            if not reached or (refused is not None and not lost):
                raise UserError(f"MQTT broker {broker}: {_reason(error)}") from None
            if not lost:
                yield ConnectionChange(_reason(error))
            lost = True
        await sleep(backoff.next())


def _client(broker: Broker, version: aiomqtt.ProtocolVersion) -> aiomqtt.Client:
    websocket = broker.transport == "websockets"
    return aiomqtt.Client(
        broker.host,
        broker.port,
        username=broker.username,
        password=broker.password,
        identifier=f"streamer-{uuid.uuid4().hex[:12]}",
        protocol=version,
        transport=broker.transport,
        websocket_path=broker.path if websocket else None,
        tls_context=broker.tls,
        timeout=ANSWER_TIMEOUT,
    )


def _reason(error: aiomqtt.MqttError) -> str:
    text = str(error).partition("] ")[2] or str(error)
    return text[:1].lower() + text[1:]

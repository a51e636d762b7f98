"""One connection to a broker: publish, subscribe, and notice its loss."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from streamer.mqtt.address import Broker, answers_tls
from streamer.mqtt.client import Client
from streamer.mqtt.messages import Message, Persistence, Will
from streamer.mqtt.problems import FAILURE, ClosedError, OldBrokerError, refusal

_VERSIONS = {"auto": ("5", "3.1.1"), "5": ("5",), "3.1.1": ("3.1.1",)}


class Connection:
    """An open connection."""

    def __init__(
        self, client: Client, broker: Broker, schema: str | None, expiry: float | None
    ) -> None:
        self.will_applies = False
        """At the end the broker shall publish the will: there was no other farewell."""
        self._client = client
        self.retains = broker.retain and client.limit("RetainAvailable") != 0
        """Whether the broker retains messages."""
        self.qos = 0 if client.limit("MaximumQoS") == 0 else broker.qos
        """Quality of service of published messages."""
        self._state = client.publish_properties(schema, None)
        self._event = client.publish_properties(schema, expiry)

    @property
    def receive_maximum(self) -> int:
        """Messages that the broker accepts ahead of their acknowledgement."""
        return self._client.limit("ReceiveMaximum") or 65_535

    @property
    def maximum_packet(self) -> int | None:
        """Bytes of the largest packet that the broker accepts; None if unknown."""
        return self._client.limit("MaximumPacketSize")

    def send(self, topic: str, payload: bytes, acknowledged: Callable[[int, str], None]) -> None:
        """Send an event; the callback gets the reason code of the acknowledgement and its name.

        Raises:
            UnreachableError: if the connection is lost.
        """
        self._client.send(topic, payload, self._event, acknowledged, retain=False, qos=self.qos)

    async def publish(self, topic: str, payload: str | bytes, *, retain: bool = True) -> None:
        """Publish a message that is not an event, and wait until the broker has acknowledged it.

        Raises:
            UnreachableError: if the connection is lost.
            RefusedError: if the broker does not permit it.
        """
        answer: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

        def acknowledged(code: int, name: str) -> None:
            if not answer.done():
                answer.set_result((code, name))

        data = payload.encode() if isinstance(payload, str) else payload
        retain = retain and self.retains
        self._client.send(topic, data, self._state, acknowledged, retain=retain, qos=self.qos)
        code, name = await self._client.answer(answer)
        if code >= FAILURE:
            raise refusal(code, f"publishing to {topic}: {name.lower()}")

    async def subscribe(self, topics: Sequence[str]) -> list[str]:
        """Subscribe, and give the topics that the broker does not permit to read.

        Raises:
            UnreachableError: if the connection is lost.
        """
        codes = await self._client.subscribe(topics)
        return [topic for topic, code in zip(topics, codes, strict=True) if code >= FAILURE]

    def messages(self) -> AsyncIterator[Message]:
        """Yield received messages, until the connection is lost; each must be acknowledged.

        Raises:
            UnreachableError: when the connection is lost.
        """
        return self._client.messages()

    def acknowledge(self, message: Message) -> None:
        """Acknowledge a processed message; the broker limits the unacknowledged ones."""
        self._client.acknowledge(message.number, message.qos)

    async def lost(self) -> None:
        """Wait until the connection is lost.

        Raises:
            UnreachableError: with the reason, always.
        """
        await self._client.gone()
        raise self._client.why_lost()


@asynccontextmanager
async def connect(
    broker: Broker,
    *,
    identifier: str,
    will: Will | None = None,
    schema: str | None = None,
    expiry: float | None = None,
    persistence: Persistence | None = None,
    window: int = 100,
) -> AsyncIterator[Connection]:
    """Connect, and disconnect at the end.

    Args:
        broker: which broker.
        identifier: name of the client; a broker drops the older of two with the same one.
        will: message to publish when the connection breaks.
        schema: version of the events, a user property of each message (MQTT 5).
        expiry: seconds that the broker keeps events for absent subscribers (MQTT 5).
        persistence: what the broker keeps of an absent client; None: nothing.
        window: messages that may be received ahead of their acknowledgement.

    Raises:
        UnreachableError: if the broker is unreachable.
        RefusedError: if it refuses the client.
    """
    versions = _VERSIONS[broker.protocol]
    for version in versions:
        client = Client(broker, identifier, version, will, persistence, window)
        try:
            await client.open()
        except (OldBrokerError, ClosedError) as error:
            if version != versions[-1]:
                continue
            if isinstance(error, ClosedError) and not broker.tls and await answers_tls(broker):
                raise ClosedError(f"{error} (does it want TLS?)") from None
            raise
        else:
            break
    connection = Connection(client, broker, schema, expiry)
    try:
        yield connection
    finally:
        await client.close(farewell=not connection.will_applies)

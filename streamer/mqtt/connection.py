"""One connection to a broker: publish, subscribe, and know when it is gone."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

from streamer.mqtt.address import Broker
from streamer.mqtt.client import Client, Received, Remember, Will
from streamer.mqtt.problems import FAILURE, ClosedError, OldBrokerError, refusal

_VERSIONS = {"auto": ("5", "3.1.1"), "5": ("5",), "3.1.1": ("3.1.1",)}


class Connection:
    """A connection that stands."""

    def __init__(self, client: Client, schema: str | None, expiry: float | None) -> None:
        self.will_applies = False
        """At the end the broker shall publish the will, as there has been no other farewell."""
        self._client = client
        self._state = client.publish_properties(schema, None)
        self._event = client.publish_properties(schema, expiry)

    @property
    def receive_maximum(self) -> int:
        """Messages that the broker takes ahead of their acknowledgement."""
        return self._client.limit("ReceiveMaximum") or 65_535

    @property
    def maximum_packet(self) -> int | None:
        """Bytes of the largest packet that the broker takes; None if it does not say."""
        return self._client.limit("MaximumPacketSize")

    def send(self, topic: str, payload: bytes, acknowledged: Callable[[int, str], None]) -> None:
        """Send an event; the callback gets the reason code of the acknowledgement and its name.

        Raises:
            UnreachableError: if the connection is gone.
        """
        self._client.send(topic, payload, self._event, acknowledged, retain=False)

    async def publish(self, topic: str, payload: str | bytes, *, retain: bool = True) -> None:
        """Publish something that is no event, and wait until the broker has it.

        Raises:
            UnreachableError: if the connection is gone.
            RefusedError: if the broker does not let us.
        """
        answer: asyncio.Future[tuple[int, str]] = asyncio.get_running_loop().create_future()

        def acknowledged(code: int, name: str) -> None:
            if not answer.done():
                answer.set_result((code, name))

        data = payload.encode() if isinstance(payload, str) else payload
        self._client.send(topic, data, self._state, acknowledged, retain=retain)
        code, name = await self._client.answer(answer)
        if code >= FAILURE:
            raise refusal(code, f"publishing to {topic}: {name.lower()}")

    async def subscribe(self, topics: Sequence[str]) -> list[str]:
        """Subscribe, and give the topics that the broker does not let us read.

        Raises:
            UnreachableError: if the connection is gone.
        """
        codes = await self._client.request(topics)
        return [topic for topic, code in zip(topics, codes, strict=True) if code >= FAILURE]

    def messages(self) -> AsyncIterator[Received]:
        """What comes, until the connection is lost; each is to be acknowledged.

        Raises:
            UnreachableError: when the connection is gone.
        """
        return self._client.received()

    def acknowledge(self, message: Received) -> None:
        """Tell the broker that a message has been dealt with; until then it sends only so many more."""
        self._client.acknowledge(message.number, message.qos)

    async def lost(self) -> None:
        """Wait until the connection is gone.

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
    remember: Remember | None = None,
    window: int = 100,
) -> AsyncIterator[Connection]:
    """Connect, and disconnect at the end.

    Args:
        broker: which broker.
        identifier: name of the client; a broker drops the older of two with the same one.
        will: what to publish for us when the connection breaks.
        schema: version of the events, told as user property of each message (MQTT 5).
        expiry: seconds that the broker keeps events for absent subscribers (MQTT 5).
        remember: what the broker shall keep of us while we are away; None: nothing.
        window: messages that we take ahead of our acknowledgement.

    Raises:
        UnreachableError: if the broker is not there.
        RefusedError: if it does not let us in.
    """
    versions = _VERSIONS[broker.protocol]
    for version in versions:
        client = Client(broker, identifier, version, will, remember, window)
        try:
            await client.open()
        except (OldBrokerError, ClosedError):
            if version == versions[-1]:
                raise
        else:
            break
    connection = Connection(client, schema, expiry)
    try:
        yield connection
    finally:
        await client.close(farewell=not connection.will_applies)

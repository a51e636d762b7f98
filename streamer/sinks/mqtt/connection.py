"""One connection to a broker. The only file that knows the MQTT library.

aiomqtt brings the socket into the event loop; what it leaves out is done here, on the client beneath it:
publishing ahead of the acknowledgements (`Client.publish` waits for each, does not see its reason code and
sleeps through a lost connection), the broker's limits, acknowledging what was received only when it has been
dealt with, and the reasons of failures.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streamer.sinks.mqtt.address import Broker

CONNECT_TIMEOUT = 3.0
"""Seconds that reaching the host, and shaking hands with it, may each take."""

ANSWER_TIMEOUT = 5.0
"""Seconds that a broker may take to answer what is waited for."""

MAX_PACKET = 1_000_000
"""Bytes of the largest packet that a broker (MQTT 5) may send us."""

FAILURE = 0x80
"""Reason codes from here on are failures (MQTT 5, 2.4)."""

UNSUPPORTED_PROTOCOL, NOT_AUTHORIZED, TAKEN_OVER = 0x84, 0x87, 0x8E

PASSING = frozenset({0x80, 0x83, 0x88, 0x89, 0x8B, 0x93, 0x96, 0x97, 0x98, 0x9F, 0xA1})
"""Failures that trying again later may cure: the broker is busy, shutting down, over a quota, ..."""

_VERSIONS = {
    "auto": (aiomqtt.ProtocolVersion.V5, aiomqtt.ProtocolVersion.V311),
    "5": (aiomqtt.ProtocolVersion.V5,),
    "3.1.1": (aiomqtt.ProtocolVersion.V311,),
}
_JSON = "application/json"

_T = TypeVar("_T")


class BrokerError(Exception):
    """There is no connection; the message is the reason."""


class UnreachableError(BrokerError):
    """The broker is away, or has gone; it may come back."""


class RefusedError(BrokerError):
    """The broker does not want us as we are; somebody has to change something."""


@dataclass(frozen=True, slots=True)
class Received:
    """A message that came."""

    topic: str
    payload: bytes
    retained: bool
    """It was there before we subscribed."""
    number: int
    qos: int


@dataclass(frozen=True, slots=True)
class Will:
    """What the broker publishes, retained, when we are gone without a farewell."""

    topic: str
    payload: str


@dataclass(frozen=True, slots=True)
class Remember:
    """How long the broker keeps our subscriptions, and what they bring, while we are away."""

    seconds: float
    """For MQTT 5."""
    for_good: bool
    """MQTT 3.1.1 knows only for ever, or not at all."""


class Connection:
    """A connection that stands."""

    def __init__(self, client: "_Client", schema: str | None, expiry: float | None) -> None:
        self.will_applies = False
        """At the end the broker shall publish the will, as there has been no other farewell."""
        self._client = client
        self._state = client.publish_properties(schema, None)
        self._event = client.publish_properties(schema, expiry)

    @property
    def protocol(self) -> str:
        """The version of MQTT spoken: 5 or 3.1.1."""
        return "5" if self._client.version == aiomqtt.ProtocolVersion.V5 else "3.1.1"

    @property
    def resumed(self) -> bool:
        """The broker remembers our subscriptions."""
        return self._client.session_present

    @property
    def receive_maximum(self) -> int:
        """Messages that the broker takes ahead of their acknowledgement."""
        return int(getattr(self._client.limits, "ReceiveMaximum", 65_535))

    @property
    def maximum_packet(self) -> int | None:
        """Bytes of the largest packet that the broker takes; None if it does not say."""
        return getattr(self._client.limits, "MaximumPacketSize", None)

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
            kind = UnreachableError if code in PASSING else RefusedError
            raise kind(f"publishing to {topic}: {name.lower()}")

    async def subscribe(self, topics: Sequence[str]) -> list[str]:
        """Subscribe, and give the topics that the broker does not let us read.

        Raises:
            UnreachableError: if the connection is gone.
        """
        request = self._client.subscribe([(topic, 1) for topic in topics])
        codes = await self._client.answer(request)
        values = [code.value if isinstance(code, ReasonCode) else code for code in codes]
        return [topic for topic, code in zip(topics, values, strict=True) if code >= FAILURE]

    async def messages(self) -> AsyncIterator[Received]:
        """What comes, until the connection is lost; each is to be acknowledged.

        Raises:
            UnreachableError: when the connection is gone.
        """
        try:
            async for message in self._client.messages:
                yield Received(
                    topic=message.topic.value,
                    payload=message.payload if isinstance(message.payload, bytes) else b"",
                    retained=message.retain,
                    number=message.mid,
                    qos=message.qos,
                )
        except aiomqtt.MqttError:
            raise self._client.why_lost() from None

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
        client = _Client(broker, identifier, version, will, remember, window)
        try:
            await client.open()
        except (_OldBrokerError, _ClosedError):
            if version == versions[-1]:
                raise
        else:
            break
    connection = Connection(client, schema, expiry)
    try:
        yield connection
    finally:
        await client.close(farewell=not connection.will_applies)


class _OldBrokerError(RefusedError):
    """The broker does not speak this version of MQTT."""


class _ClosedError(UnreachableError):
    """The broker closed the connection without an answer, as some do for a version they do not know."""


class _LastError(logging.Handler):
    """Keeps what the library only logs: why reading from the socket failed."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        for argument in record.args or ():
            if isinstance(argument, OSError):
                self.text = _explain(argument)


class _Client(aiomqtt.Client):
    def __init__(
        self,
        broker: Broker,
        identifier: str,
        version: aiomqtt.ProtocolVersion,
        will: Will | None,
        remember: Remember | None,
        window: int,
    ) -> None:
        self.version = version
        self.limits: Properties | None = None
        self.session_present = False
        self._sent: dict[int, Callable[[int, str], None]] = {}
        self._tls = broker.tls is not None
        self._errors = _LastError()
        logger = logging.Logger("mqtt", logging.WARNING)  # noqa: LOG001 - its own, so that nothing is shared
        logger.addHandler(self._errors)
        five = version == aiomqtt.ProtocolVersion.V5
        properties = None
        if five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.ReceiveMaximum = window
            properties.MaximumPacketSize = MAX_PACKET
            if remember is not None:
                properties.SessionExpiryInterval = round(remember.seconds)
        super().__init__(
            broker.host,
            broker.port,
            username=broker.username,
            password=broker.password,
            identifier=identifier,
            protocol=version,
            will=aiomqtt.Will(will.topic, will.payload, qos=1, retain=True) if will else None,
            clean_session=None if five else remember is None or not remember.for_good,
            clean_start=remember is None if five else MQTT_CLEAN_START_FIRST_ONLY,
            keepalive=broker.keep_alive,
            timeout=ANSWER_TIMEOUT,
            properties=properties,
            tls_context=broker.tls,
            logger=logger,
        )
        self._client.connect_timeout = CONNECT_TIMEOUT
        self._client.max_inflight_messages = 0  # the sender keeps its own, smaller window
        self._client.manual_ack_set(True)

    async def open(self) -> None:
        """Connect; raises UnreachableError or RefusedError."""
        # The thread that connects cannot be stopped, only waited for: it ends soon.
        opening = asyncio.ensure_future(self.__aenter__())
        try:
            await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._abandon)
            raise
        except MqttConnectError as error:
            self._drop()
            raise _refusal(error.rc) from None
        except aiomqtt.MqttError as error:
            self._drop()
            cause = error.__context__
            if isinstance(cause, ssl.SSLError):
                raise RefusedError(_explain(cause)) from None
            if isinstance(cause, OSError):
                reset = self._tls and isinstance(cause, ConnectionResetError)
                hint = " (is TLS spoken there?)" if reset else ""
                raise UnreachableError(_explain(cause) + hint) from None
            if self._tls and self._errors.text:
                raise RefusedError(self._errors.text) from None
            raise _ClosedError(str(error)) from None

    async def close(self, *, farewell: bool) -> None:
        """Close the connection; with a farewell the broker forgets the will."""
        if farewell:
            with suppress(aiomqtt.MqttError):
                await self.__aexit__(None, None, None)
        if self._disconnected.done() and not self._disconnected.cancelled():
            self._disconnected.exception()
        self._drop()

    def publish_properties(self, schema: str | None, expiry: float | None) -> Properties | None:
        """What MQTT 5 can say about a message beside its payload."""
        if self.version != aiomqtt.ProtocolVersion.V5:
            return None
        properties = _PackedProperties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        if schema is not None:
            properties.ContentType = _JSON
            properties.PayloadFormatIndicator = 1
            properties.UserProperty = ("schema", schema)
        if expiry is not None:
            properties.MessageExpiryInterval = round(expiry)
        return properties

    def send(
        self,
        topic: str,
        payload: bytes,
        properties: Properties | None,
        acknowledged: Callable[[int, str], None],
        *,
        retain: bool,
    ) -> None:
        retain = retain and bool(getattr(self.limits, "RetainAvailable", 1))
        if self._disconnected.done():
            raise self.why_lost()
        info = self._client.publish(topic, payload, 1, retain, properties)
        if info.rc != 0:
            raise self.why_lost()
        self._sent[info.mid] = acknowledged

    def acknowledge(self, number: int, qos: int) -> None:
        self._client.ack(number, qos)

    async def answer(self, request: Awaitable[_T]) -> _T:
        """The answer to a request, or the error that the connection is gone."""
        task = asyncio.ensure_future(request)
        either: set[asyncio.Future[Any]] = {task, self._disconnected}
        try:
            await asyncio.wait(
                either,
                timeout=ANSWER_TIMEOUT,
                return_when=asyncio.FIRST_COMPLETED,
            )
            if task.done():
                return task.result()
        except aiomqtt.MqttError:
            raise self.why_lost() from None
        finally:
            task.cancel()
        if self._disconnected.done():
            raise self.why_lost()
        raise UnreachableError("no answer")

    async def gone(self) -> None:
        await asyncio.wait({self._disconnected})

    def why_lost(self) -> BrokerError:
        error = self._disconnected.exception() if self._disconnected.done() else None
        code = getattr(error, "rc", None)
        if isinstance(code, ReasonCode) and code.value == TAKEN_OVER:
            return RefusedError("another client with our identifier has connected")
        if isinstance(code, ReasonCode) and code.value != FAILURE:
            return UnreachableError(str(code).lower())
        return UnreachableError(self._errors.text or "the connection broke")

    def _abandon(self, opening: "asyncio.Future[Any]") -> None:
        if not opening.cancelled():
            opening.exception()
        self._drop()

    def _drop(self) -> None:
        """Close the socket and take it out of the event loop, whatever state the library is in."""
        self._client._sock_close()  # noqa: SLF001 - there is no public way without a handshake

    # What the library calls; the signatures are aiomqtt's.

    def _on_connect(
        self,
        client: Any,
        userdata: Any,
        flags: Any,
        reason_code: Any,
        properties: Any = None,
    ) -> None:
        self.limits = properties
        self.session_present = flags.session_present
        super()._on_connect(client, userdata, flags, reason_code, properties)

    def _on_disconnect(
        self,
        client: Any,
        userdata: Any,
        flags: Any,
        reason_code: Any,
        properties: Any = None,
    ) -> None:
        if not self._connected.done():  # aiomqtt would go on waiting for the CONNACK
            hint = " (does it want TLS?)" if not self._tls else ""
            error = aiomqtt.MqttError(f"the broker closed the connection{hint}")
            self._connected.set_exception(error)
        super()._on_disconnect(client, userdata, flags, reason_code, properties)

    def _on_publish(
        self,
        client: Any,  # noqa: ARG002
        userdata: Any,  # noqa: ARG002
        mid: int,
        reason_code: Any,
        properties: Any,  # noqa: ARG002
    ) -> None:
        acknowledged = self._sent.pop(mid, None)
        if acknowledged is not None:
            acknowledged(reason_code.value, str(reason_code))

    def _on_socket_register_write(
        self,
        client: Any,
        userdata: Any,  # noqa: ARG002
        sock: Any,
    ) -> None:
        def write() -> None:
            try:
                client.loop_write()
            except Exception as error:  # noqa: BLE001 - whatever it is, the connection is broken
                if not self._disconnected.done():
                    self._disconnected.set_exception(error)

        def register() -> None:
            # The socket may have been closed since, and its number may be another's by now.
            if sock.fileno() >= 0:
                self._loop.add_writer(sock.fileno(), write)

        self._loop.call_soon_threadsafe(register)


class _PackedProperties(Properties):
    """Properties that many messages share: packing them anew for each took an eighth of all work."""

    def pack(self) -> bytes:
        packed = self.__dict__.get("packed")
        if packed is None:
            packed = self.__dict__["packed"] = super().pack()  # type: ignore[no-untyped-call]
        return bytes(packed)


def _refusal(code: Any) -> BrokerError:
    name = str(code).lower() if isinstance(code, ReasonCode) else f"code {code}"
    value = code.value if isinstance(code, ReasonCode) else code
    if value == UNSUPPORTED_PROTOCOL:
        return _OldBrokerError("the broker does not speak this version of MQTT")
    if value in PASSING:
        return UnreachableError(name)
    return RefusedError(name)


def _explain(error: OSError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"the broker's certificate: {error.verify_message.rstrip('.')}"
    if isinstance(error, ssl.SSLError):
        reason = (error.reason or str(error)).replace("_", " ").lower()
        hint = " (is TLS spoken there?)" if "wrong version" in reason else ""
        return f"TLS: {reason}{hint}"
    if isinstance(error, TimeoutError):
        return "timed out"
    return (error.strerror or str(error)).lower()

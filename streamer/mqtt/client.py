"""The MQTT library. No other file knows it.

aiomqtt brings the socket into the event loop; what it leaves out is done here, on the client beneath it:
publishing ahead of the acknowledgements (its `publish` waits for each, does not see its reason code and
sleeps through a lost connection), the broker's limits, acknowledging what was received only when it has been
dealt with, and the reasons of failures.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

import aiomqtt
from aiomqtt.exceptions import MqttConnectError
from paho.mqtt.client import MQTT_CLEAN_START_FIRST_ONLY
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streamer.mqtt.address import Broker
from streamer.mqtt.problems import (
    FAILURE,
    TAKEN_OVER,
    BrokerError,
    ClosedError,
    RefusedError,
    UnreachableError,
    explain,
    refusal,
)

CONNECT_TIMEOUT = 3.0
"""Seconds that reaching the host, and shaking hands with it, may each take."""

ANSWER_TIMEOUT = 10.0
"""Seconds that a broker may take to answer what is waited for."""

MAX_PACKET = 1_000_000
"""Bytes of the largest packet that a broker (MQTT 5) may send us."""

_JSON = "application/json"

_T = TypeVar("_T")


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


class _LastError(logging.Handler):
    """Keeps what the library only logs: why reading from the socket failed."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        for argument in record.args or ():
            if isinstance(argument, OSError):
                self.text = explain(argument)


class Client(aiomqtt.Client):
    """A connection as the library has it, and what it leaves out."""

    def __init__(
        self,
        broker: Broker,
        identifier: str,
        version: str,
        will: Will | None,
        remember: Remember | None,
        window: int,
    ) -> None:
        self._five = version == "5"
        self._limits: Properties | None = None
        self._sent: dict[int, Callable[[int, str], None]] = {}
        self._tls = broker.tls is not None
        self._errors = _LastError()
        logger = logging.Logger("mqtt", logging.WARNING)  # noqa: LOG001 - its own, so that nothing is shared
        logger.addHandler(self._errors)
        properties = None
        if self._five:
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
            protocol=aiomqtt.ProtocolVersion.V5 if self._five else aiomqtt.ProtocolVersion.V311,
            will=aiomqtt.Will(will.topic, will.payload, qos=1, retain=True) if will else None,
            clean_session=None if self._five else remember is None or not remember.for_good,
            clean_start=remember is None if self._five else MQTT_CLEAN_START_FIRST_ONLY,
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
            if isinstance(error.rc, ReasonCode):
                raise refusal(error.rc.value, str(error.rc).lower()) from None
            raise RefusedError(str(error)) from None
        except aiomqtt.MqttError as error:
            self._drop()
            cause = error.__context__
            if isinstance(cause, ssl.SSLError):
                raise RefusedError(explain(cause)) from None
            if isinstance(cause, OSError):
                reset = self._tls and isinstance(cause, ConnectionResetError)
                hint = " (is TLS spoken there?)" if reset else ""
                raise UnreachableError(explain(cause) + hint) from None
            if self._tls and self._errors.text:
                raise RefusedError(self._errors.text) from None
            raise ClosedError(str(error)) from None

    async def close(self, *, farewell: bool) -> None:
        """Close the connection; with a farewell the broker forgets the will."""
        try:
            if farewell:
                with suppress(aiomqtt.MqttError):
                    await self.__aexit__(None, None, None)
        finally:
            if self._disconnected.done() and not self._disconnected.cancelled():
                self._disconnected.exception()
            self._drop()

    def limit(self, name: str) -> int | None:
        """What the broker (MQTT 5) has told of its limits."""
        value: int | None = getattr(self._limits, name, None)
        return value

    def publish_properties(self, schema: str | None, expiry: float | None) -> Properties | None:
        """What MQTT 5 can say about a message beside its payload."""
        if not self._five:
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
        """Send a message; the callback gets the reason code of its acknowledgement."""
        retain = retain and self.limit("RetainAvailable") != 0
        if self._disconnected.done():
            raise self.why_lost()
        info = self._client.publish(topic, payload, 1, retain, properties)
        if info.rc != 0:
            raise self.why_lost()
        self._sent[info.mid] = acknowledged

    async def request(self, topics: Sequence[str]) -> list[int]:
        """Subscribe, and give the reason code of each topic."""
        codes = await self.answer(self.subscribe([(topic, 1) for topic in topics]))
        return [code.value if isinstance(code, ReasonCode) else code for code in codes]

    async def received(self) -> AsyncIterator[Received]:
        """What comes, until the connection is lost."""
        try:
            async for message in self.messages:
                yield Received(
                    topic=message.topic.value,
                    payload=message.payload if isinstance(message.payload, bytes) else b"",
                    retained=message.retain,
                    number=message.mid,
                    qos=message.qos,
                )
        except aiomqtt.MqttError:
            raise self.why_lost() from None

    def acknowledge(self, number: int, qos: int) -> None:
        """Acknowledge what was received."""
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
        """Wait until the connection is lost."""
        await asyncio.wait({self._disconnected})

    def why_lost(self) -> BrokerError:
        """The reason why the connection is lost."""
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
        self._limits = properties
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

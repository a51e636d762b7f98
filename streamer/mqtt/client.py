"""One connection made with the MQTT client library, paho-mqtt.

Publishing is pipelined: a callback gets the reason code of each acknowledgement. Received messages are
acknowledged only once they have been processed. Failures carry their reasons.
"""

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from typing import Any, TypeVar

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from streamer.mqtt.address import Broker
from streamer.mqtt.event_loop import EventLoopDriver
from streamer.mqtt.messages import Message, Persistence, Will, publish_properties
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
"""Seconds for reaching the host, and for each handshake with it."""

ANSWER_TIMEOUT = 5.0
"""Seconds that a broker may take to answer a request."""

FAREWELL_TIMEOUT = 1.0
"""Seconds for sending DISCONNECT."""

KEEP_ALIVE = 15
"""Seconds of silence after which the broker is pinged."""

MAX_PACKET = 1_000_000
"""Bytes of the largest packet that a broker (MQTT 5) may send."""

_T = TypeVar("_T")


class _LastError(logging.Handler):
    """Keep the error that the library only logs: why reading from the socket failed."""

    text = ""

    def emit(self, record: logging.LogRecord) -> None:
        for argument in record.args or ():
            if isinstance(argument, OSError):
                self.text = explain(argument)


class Client:
    """One connection, from `open` to `close`.

    Args:
        broker: which broker.
        identifier: the client's name.
        version: of MQTT, `5` or `3.1.1`.
        will: message to publish when the connection breaks.
        persistence: what the broker keeps of an absent client; None: nothing.
        window: messages that may be received ahead of their acknowledgement.
    """

    def __init__(
        self,
        broker: Broker,
        identifier: str,
        version: str,
        will: Will | None,
        persistence: Persistence | None,
        window: int,
    ) -> None:
        self._broker = broker
        self._five = version == "5"
        self._persistence = persistence
        self._window = window
        self._limits: Properties | None = None
        self._published: dict[int, Callable[[int, str], None]] = {}
        self._subscribed: dict[int, asyncio.Future[list[int]]] = {}
        self._messages: asyncio.Queue[Message] = asyncio.Queue()
        self._errors = _LastError()
        loop = asyncio.get_running_loop()
        self._connected: asyncio.Future[BrokerError | None] = loop.create_future()
        self._disconnected: asyncio.Future[BrokerError] = loop.create_future()
        self._client = self._make_client(identifier, will)
        self._driver = EventLoopDriver(self._client, self._fail)

    def _make_client(self, identifier: str, will: Will | None) -> paho.Client:
        clean = self._persistence is None or not self._persistence.unlimited
        client = paho.Client(
            CallbackAPIVersion.VERSION2,
            identifier,
            clean_session=None if self._five else clean,
            protocol=paho.MQTTv5 if self._five else paho.MQTTv311,
            transport=self._broker.transport,
            reconnect_on_failure=False,
        )
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        logger = logging.Logger("mqtt", logging.WARNING)  # noqa: LOG001 - not shared with other clients
        logger.addHandler(self._errors)
        client.enable_logger(logger)
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls is not None:
            client.tls_set_context(self._broker.tls)
        if self._broker.transport == "websockets":
            client.ws_set_options(path=self._broker.path)
        if will is not None:
            client.will_set(will.topic, will.payload, will.qos, will.retain)
        client.connect_timeout = CONNECT_TIMEOUT
        client.max_inflight_messages_set(0)  # the sender has its own, smaller window
        client.manual_ack_set(True)
        return client

    async def open(self) -> None:
        """Connect.

        Raises:
            UnreachableError: if the broker is unreachable.
            RefusedError: if it refuses the client.
        """
        # The connecting thread cannot be stopped; CONNECT_TIMEOUT ends it soon.
        connecting = asyncio.get_running_loop().run_in_executor(None, self._connect)
        try:
            await asyncio.shield(connecting)
            if problem := await self.answer(self._connected):
                raise problem
        except asyncio.CancelledError:
            connecting.add_done_callback(self._abandon)
            raise
        except BrokerError:
            self._driver.close()
            raise
        except OSError as error:
            self._driver.close()
            raise self._why_unconnected(error) from None

    def _connect(self) -> None:
        properties = None
        if self._five:
            properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
            properties.ReceiveMaximum = self._window
            properties.MaximumPacketSize = MAX_PACKET
            if self._persistence is not None:
                properties.SessionExpiryInterval = round(self._persistence.seconds)
        self._client.connect(
            self._broker.host,
            self._broker.port,
            KEEP_ALIVE,
            clean_start=self._persistence is None
            if self._five
            else paho.MQTT_CLEAN_START_FIRST_ONLY,
            properties=properties,
        )

    def _why_unconnected(self, error: OSError) -> BrokerError:
        if isinstance(error, paho.WebsocketConnectionError):
            return UnreachableError(f"no WebSocket at {self._broker.path}: {error}")
        if isinstance(error, ssl.SSLError):
            return RefusedError(explain(error))
        reset = self._broker.tls is not None and isinstance(error, ConnectionResetError)
        hint = " (is TLS spoken there?)" if reset else ""
        return UnreachableError(explain(error) + hint)

    def _abandon(self, connecting: "asyncio.Future[None]") -> None:
        if not connecting.cancelled():
            connecting.exception()
        self._driver.close()

    async def close(self, *, farewell: bool) -> None:
        """Close the connection; with a farewell the broker discards the will."""
        try:
            if farewell and not self._disconnected.done():
                self._client.disconnect()
                with suppress(TimeoutError):
                    async with asyncio.timeout(FAREWELL_TIMEOUT):
                        await asyncio.shield(self._disconnected)
        finally:
            self._driver.close()

    def limit(self, name: str) -> int | None:
        """Return the value of a limit that the broker (MQTT 5) has announced, None if it has not."""
        value: int | None = getattr(self._limits, name, None)
        return value

    def publish_properties(self, schema: str | None, expiry: float | None) -> Properties | None:
        """Make the MQTT 5 properties of a message; None for older versions."""
        return publish_properties(schema, expiry) if self._five else None

    def send(
        self,
        topic: str,
        payload: bytes,
        properties: Properties | None,
        acknowledged: Callable[[int, str], None],
        *,
        retain: bool,
        qos: int = 1,
    ) -> None:
        """Send a message; the callback gets the reason code of its acknowledgement (QoS 0: once it is written).

        Raises:
            UnreachableError: if the connection is lost.
        """
        if self._disconnected.done():
            raise self.why_lost()
        info = self._client.publish(topic, payload, qos, retain, properties)
        if info.rc != paho.MQTT_ERR_SUCCESS:
            raise self.why_lost()
        if qos == 0 and info.is_published():
            asyncio.get_running_loop().call_soon(acknowledged, 0, "Success")
        else:
            self._published[info.mid] = acknowledged

    async def subscribe(self, topics: Sequence[str]) -> list[int]:
        """Subscribe with QoS 1, and give the reason code of each topic."""
        if self._disconnected.done():
            raise self.why_lost()
        codes: asyncio.Future[list[int]] = asyncio.get_running_loop().create_future()
        result, number = self._client.subscribe([(topic, 1) for topic in topics])
        if result != paho.MQTT_ERR_SUCCESS or number is None:
            raise self.why_lost()
        self._subscribed[number] = codes
        return await self.answer(codes)

    async def messages(self) -> AsyncIterator[Message]:
        """Yield received messages, until the connection is lost."""
        while True:
            while not self._messages.empty():
                yield self._messages.get_nowait()
            yield await self._answer_or_loss(self._messages.get())

    def acknowledge(self, number: int, qos: int) -> None:
        """Acknowledge a received message."""
        self._client.ack(number, qos)

    async def gone(self) -> None:
        """Wait until the connection is lost."""
        await asyncio.shield(self._disconnected)

    def why_lost(self) -> BrokerError:
        """Return the reason why the connection is lost."""
        if self._disconnected.done():
            return self._disconnected.result()
        return UnreachableError(self._errors.text or "the connection broke")

    async def answer(self, future: "asyncio.Future[_T]") -> _T:
        """Wait for an answer.

        Raises:
            UnreachableError: if the connection is lost, or nothing comes for `ANSWER_TIMEOUT`.
        """
        either: set[asyncio.Future[Any]] = {future, self._disconnected}
        await asyncio.wait(either, timeout=ANSWER_TIMEOUT, return_when=asyncio.FIRST_COMPLETED)
        if future.done():
            return future.result()
        if self._disconnected.done():
            raise self._disconnected.result()
        raise UnreachableError("timed out: the broker does not answer")

    async def _answer_or_loss(self, waiting: Coroutine[Any, Any, _T]) -> _T:
        task = asyncio.ensure_future(waiting)
        either: set[asyncio.Future[Any]] = {task, self._disconnected}
        try:
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
        finally:
            task.cancel()
        raise self._disconnected.result()

    def _fail(self, error: Exception) -> None:
        """End the connection since the library raised an exception."""
        reason = explain(error) if isinstance(error, OSError) else f"unexpected packet: {error!r}"
        self._lose(UnreachableError(reason))

    def _lose(self, reason: BrokerError) -> None:
        if not self._disconnected.done():
            self._disconnected.set_result(reason)

    # Called by the library, in the event loop.

    def _on_connect(
        self, _client: Any, _data: Any, _flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        self._driver.packet_handled()
        self._limits = properties
        if self._connected.done():
            return
        problem = refusal(code.value, str(code).lower()) if code.is_failure else None
        self._connected.set_result(problem)

    def _on_disconnect(
        self, _client: Any, _data: Any, flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        if not self._connected.done():
            if self._broker.tls is not None and self._errors.text:
                self._lose(RefusedError(self._errors.text))
            else:
                self._lose(ClosedError("the broker closed the connection"))
        elif code.value == TAKEN_OVER:
            self._lose(RefusedError("another client with the same identifier has connected"))
        elif flags.is_disconnect_packet_from_server or code.value not in {0, FAILURE}:
            self._lose(UnreachableError(str(code).lower()))
        else:
            self._lose(UnreachableError(self._errors.text or "the connection broke"))

    def _on_publish(
        self, _client: Any, _data: Any, number: int, code: ReasonCode, _properties: Any
    ) -> None:
        self._driver.packet_handled()
        acknowledged = self._published.pop(number, None)
        if acknowledged is not None:
            acknowledged(code.value, str(code))

    def _on_subscribe(
        self, _client: Any, _data: Any, number: int, codes: list[ReasonCode], _properties: Any
    ) -> None:
        self._driver.packet_handled()
        future = self._subscribed.pop(number, None)
        if future is not None and not future.done():
            future.set_result([code.value for code in codes])

    def _on_message(self, _client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        self._driver.packet_handled()
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._messages.put_nowait(
            Message(topic, bytes(message.payload), message.retain, message.mid, message.qos)
        )

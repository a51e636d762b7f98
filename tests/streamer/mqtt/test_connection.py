"""Connections to brokers of both versions, and to servers that are none."""

import asyncio
import contextlib
from collections.abc import AsyncIterator

import paho.mqtt.client as paho
import pytest

from streamer.errors import UserError
from streamer.mqtt.address import broker as broker_of
from streamer.mqtt.connection import connect
from streamer.mqtt.problems import RefusedError, UnreachableError
from streamer.settings import load as configuration
from tests.brokers import wait_for
from tests.event_streams import conversation

CONNECT, LEVEL_5 = 0x10, 5
OLD_PROTOCOL = bytes([0x20, 2, 0, 1])
"""CONNACK of a broker that knows MQTT 3.1.1 only, to a client of MQTT 5."""


class OldBroker:
    """In front of a broker: turns clients of MQTT 5 away, with an answer or without."""

    def __init__(self, port: int, answer: bytes) -> None:
        self.levels: list[int] = []
        self._port = port
        self._answer = answer

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        first = await reader.read(1000)
        self.levels.append(first[first.index(b"MQTT") + 4])
        if self.levels[-1] == LEVEL_5:
            writer.write(self._answer)
        else:
            away, forth = await asyncio.open_connection("127.0.0.1", self._port)
            forth.write(first)
            await asyncio.gather(pipe(reader, forth), pipe(away, writer))
            await forth.wait_closed()


async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65_536):
        writer.write(data)
    writer.close()


@contextlib.asynccontextmanager
async def listening(handler) -> AsyncIterator[str]:
    """A server on a port of its own; gives its URL."""
    serving = set()

    async def serve(reader, writer) -> None:
        serving.add(asyncio.current_task())
        try:
            await handler(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1") as server:
        yield f"mqtt://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        await asyncio.gather(*serving)


def target(url: str, **settings):
    overrides = {f"mqtt.{key}": value for key, value in settings.items()}
    return broker_of(configuration.load(environment={}, overrides=overrides).mqtt, url)


@pytest.mark.parametrize("answer", [OLD_PROTOCOL, b""], ids=["answers", "hangs up"])
async def test_falls_back_to_3_1_1(broker, answer):
    old = OldBroker(broker.port, answer)
    async with (
        listening(old) as url,
        connect(target(url), identifier="test") as link,
    ):
        await link.publish("a/b", "hello", retain=True)
    assert old.levels == [5, 4]


async def test_refuses_an_old_broker_if_version_5_is_required(broker):
    old = OldBroker(broker.port, OLD_PROTOCOL)
    async with listening(old) as url:
        with pytest.raises(RefusedError, match="version of MQTT"):
            async with connect(target(url, protocol="5"), identifier="test"):
                pass


async def test_a_silent_server_times_out(monkeypatch):
    monkeypatch.setattr("streamer.mqtt.client.ANSWER_TIMEOUT", 0.3)

    async def silent(reader, writer):
        await reader.read()

    async with listening(silent) as url:
        with pytest.raises(UnreachableError, match="timed out"):
            async with connect(target(url), identifier="test"):
                pass


async def test_refuses_a_server_that_does_not_speak_mqtt():
    async def nonsense(reader, writer):
        await reader.read(10)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    async with listening(nonsense) as url:
        with pytest.raises((UnreachableError, RefusedError)):
            async with connect(target(url), identifier="test"):
                pass


async def test_events_carry_the_properties_of_version_5(broker, make_sink):
    found = []
    client = paho.Client(paho.CallbackAPIVersion.VERSION2, protocol=paho.MQTTv5)
    client.on_message = lambda _c, _u, message: found.append(message)
    client.on_connect = lambda *_: client.subscribe("streamer/#", 1)
    ready = []
    client.on_subscribe = lambda *_: ready.append(1)
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    wait_for(lambda: ready)
    async with make_sink(broker, retention=3600) as sink:
        for event in conversation(10):
            await sink.emit(event)
    wait_for(lambda: any(message.payload == b"stopped" for message in found))
    client.disconnect()
    client.loop_stop()
    events = [m.properties for m in found if m.topic.startswith("streamer/desk/call/")]
    assert len(events) == 10
    for properties in events:
        assert properties.ContentType == "application/json"
        assert properties.UserProperty == [("schema", "streamer/1")]
        assert 3000 < properties.MessageExpiryInterval <= 3600
    states = [m.properties for m in found if "/state/" in m.topic]
    assert not any(hasattr(properties, "MessageExpiryInterval") for properties in states)


async def test_subscribing_to_an_unknown_host_is_an_error():
    from streamer import subscribe

    with pytest.raises(UserError, match=r"MQTT broker nowhere\.invalid:1883"):
        async for _ in subscribe("mqtt://nowhere.invalid"):
            pass

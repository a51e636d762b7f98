"""Brokers without retained messages, without QoS 1, behind WebSockets, or without any answer."""

import asyncio
import json
import time

import pytest

from tests.brokers import Mosquitto, Recorder, free_port, retained, wait_for
from tests.event_streams import conversation
from tests.streamer.mqtt.test_connection import listening
from tests.streamer.mqtt.test_delivery import publish, sequences


@pytest.fixture
def websockets(make_broker) -> Mosquitto:
    port = free_port()
    broker = make_broker(
        "allow_anonymous true", f"listener {port} 127.0.0.1", "protocol websockets"
    )
    broker.websocket_port = port
    return broker


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_publishes_over_a_websocket(websockets, make_sink, protocol):
    recorder = Recorder(websockets)
    websockets.port, port = websockets.websocket_port, websockets.port
    sink = make_sink(websockets, scheme="ws", protocol=protocol)
    websockets.port = port
    await publish(sink, conversation(400))
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(400))}
    assert recorder.latest("/availability") == b"stopped"


async def test_a_broker_without_retained_messages_is_named_once(make_broker, make_sink, caplog):
    """With MQTT 5 the broker says so; nothing needs to be set."""
    broker = make_broker("allow_anonymous true", "retain_available false")
    recorder = Recorder(broker)
    async with make_sink(broker, protocol="5", flush=20) as sink:
        stream = list(conversation(60))
        for event in stream[:30]:
            await sink.emit(event)
        await asyncio.to_thread(wait_for, lambda: not sink.waiting)
        broker.restart()
        for event in stream[30:]:
            await sink.emit(event)
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(60))}
    assert caplog.text.count("no retained messages") == 1


async def test_an_older_broker_without_retained_messages_needs_the_setting(
    make_broker, make_sink, caplog
):
    broker = make_broker("allow_anonymous true", "retain_available false")
    recorder = Recorder(broker)
    await publish(make_sink(broker, protocol="3.1.1", retain=False), conversation(60))
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(60))}
    assert caplog.text.count("no retained messages") == 1


async def test_without_retain_nothing_is_retained(broker, make_sink):
    await publish(make_sink(broker, retain=False, home_assistant=True), conversation(30))
    assert retained(broker) == {}


async def test_a_broker_with_qos_0_only(make_broker, make_sink, caplog):
    broker = make_broker("allow_anonymous true", "max_qos 0")
    recorder = Recorder(broker)
    await publish(make_sink(broker, protocol="5"), conversation(300))
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(300))}
    assert caplog.text.count("QoS 0 only") == 1


async def test_qos_0_by_setting(broker, make_sink):
    recorder = Recorder(broker)
    await publish(make_sink(broker, protocol="3.1.1", qos=0), conversation(300))
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(300))}


async def test_a_silent_broker_costs_seconds_and_keeps_the_events(make_sink, caplog, monkeypatch):
    """It accepts connections and says nothing; the limits are shortened so that the order of waits shows."""
    monkeypatch.setattr("streamer.mqtt.node.FIRST_WAIT", 0.3)

    class Silent:
        port = 0

        def url(self, **_) -> str:
            return self.address

    broker = Silent()

    async def silent(reader, writer) -> None:
        await reader.read(1)
        while await reader.read(1000):
            pass

    async with listening(silent) as broker.address:
        began = time.monotonic()
        async with make_sink(broker, flush=0.2) as sink:
            for event in conversation(30):
                await sink.emit(event)
        assert sink.waiting == 30
        assert time.monotonic() - began < 4  # ANSWER_TIMEOUT and FAREWELL are not waited for
    assert "no answer yet" in caplog.text
    assert "the next run delivers them" in caplog.text


async def test_required_delivery_fails_if_events_are_left(make_broker, make_sink):
    broker = make_broker(start=False)
    with pytest.raises(OSError, match="30 events undelivered"):
        await publish(make_sink(broker, required=True, flush=0), conversation(30))
    broker.start()
    await publish(make_sink(broker, required=True), conversation(30, "second"))


async def test_a_closed_connection_is_no_hint_at_tls(make_sink, caplog):
    async def hangs_up(reader, writer) -> None:
        await reader.read(1)

    class Other:
        port = 0

        def url(self, **_) -> str:
            return self.address

    broker = Other()
    async with listening(hangs_up) as broker.address:
        await publish(make_sink(broker, flush=0), conversation(3))
    assert "closed the connection" in caplog.text
    assert "TLS" not in caplog.text


async def test_a_flood_of_commands_is_limited(broker, make_sink, monkeypatch):
    """A hundred at once: twenty are executed, few replies stand for the rest, and events are delivered."""
    monkeypatch.setattr("streamer.mqtt.commands.RATE", 0.0)
    recorder = Recorder(broker, "streamer/desk/#")
    async with make_sink(broker, commands=True) as sink:
        for _ in range(100):
            recorder.client.publish("streamer/desk/command", b'{"command": "mark"}', 1)
        for event in conversation(20):
            await sink.emit(event)
        await asyncio.to_thread(wait_for, lambda: len(recorder.payloads("/reply")) > 20)
        await asyncio.to_thread(wait_for, lambda: not sink.waiting)
    recorder.close()
    replies = [json.loads(payload)["message"] for payload in recorder.payloads("/reply")]
    refused = [message for message in replies if "too many commands" in message]
    assert len(replies) - len(refused) == 20
    assert len(refused) < 80

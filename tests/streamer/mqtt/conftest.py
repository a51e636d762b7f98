"""Fixtures of the MQTT tests."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer.mqtt import mqtt_sink
from streamer.mqtt.sink import MqttSink
from streamer.settings import load as configuration
from tests.brokers import Mosquitto
from tests.streamer.mqtt.outboxes import Reports


@pytest.fixture
def make_broker(tmp_path: Path) -> Iterator[Callable[..., Mosquitto]]:
    """Starts brokers, and stops them after the test."""
    brokers: list[Mosquitto] = []

    def make(*lines: str, start: bool = True, **options) -> Mosquitto:
        broker = Mosquitto(tmp_path / f"broker{len(brokers)}", *lines, **options)
        brokers.append(broker)
        return broker.start() if start else broker

    yield make
    for broker in brokers:
        broker.stop()


@pytest.fixture
def broker(make_broker: Callable[..., Mosquitto]) -> Mosquitto:
    """A broker without restrictions."""
    return make_broker()


@pytest.fixture
def make_sink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., MqttSink]:
    """Makes sinks of one node, `desk`, with quick reconnections; other keyword arguments are settings of `mqtt`."""
    monkeypatch.setattr("streamer.mqtt.backoff.LONGEST", 0.5)

    def make(
        broker: Mosquitto,
        *,
        scheme: str = "mqtt",
        user: str = "",
        flush: float = 5.0,
        keep_alive: int = 15,
        **settings,
    ) -> MqttSink:
        monkeypatch.setattr("streamer.mqtt.node.FLUSH", flush)
        monkeypatch.setattr("streamer.mqtt.node.FLUSH_UNCONNECTED", flush)
        monkeypatch.setattr("streamer.mqtt.client.KEEP_ALIVE", keep_alive)
        given = {"node": "desk", "outbox": tmp_path / "outbox", **settings}
        overrides = {f"mqtt.{key}": value for key, value in given.items()}
        url = broker.url(scheme=scheme, user=user)
        return mqtt_sink(configuration.load(environment={}, overrides=overrides), url)

    return make


@pytest.fixture
def reports() -> Reports:
    """What outboxes report."""
    return Reports()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """Where an outbox is."""
    return tmp_path / "state" / "node.sqlite"

"""What the tests of MQTT share."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from streamer.mqtt import mqtt_sink
from streamer.mqtt.sink import MqttSink
from streamer.settings import load as configuration
from tests.brokers import Mosquitto


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
    """A broker that lets everybody do everything."""
    return make_broker()


@pytest.fixture
def make_sink(tmp_path: Path) -> Callable[..., MqttSink]:
    """Makes sinks of one node, `desk`, with quick reconnections; keyword arguments are settings of `mqtt`."""

    def make(broker: Mosquitto, *, scheme: str = "mqtt", user: str = "", **settings) -> MqttSink:
        given = {"node": "desk", "outbox": tmp_path / "outbox", "reconnect_max": 0.5, **settings}
        overrides = {f"mqtt.{key}": value for key, value in given.items()}
        url = broker.url(scheme=scheme, user=user)
        return mqtt_sink(configuration.load(environment={}, overrides=overrides), url)

    return make

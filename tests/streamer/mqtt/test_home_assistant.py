import asyncio
import json

from jinja2 import Environment

from streamer.mqtt import mqtt_sink
from streamer.mqtt.home_assistant import discovery
from streamer.mqtt.topics import Topics
from streamer.settings import load as configuration
from tests.brokers import Recorder, retained, wait_for
from tests.event_streams import LABELS, conversation

TOPIC = "homeassistant/device/streamer_streamer_desk/config"


def test_the_announcement_has_what_home_assistant_requires():
    announced = json.loads(
        discovery(Topics("home", "desk"), ["agent", "Ann B."], LABELS, "bundle 1")
    )
    assert announced["dev"]["ids"]
    assert announced["o"]["name"] == "streamer"
    assert announced["avty"][0]["t"] == "home/desk/availability"
    components = announced["cmps"].values()
    assert {component["p"] for component in components} == {"sensor", "binary_sensor"}
    ids = [component["unique_id"] for component in components]
    assert len(set(ids)) == len(ids) == 2 * 5 + 2
    for component in components:
        assert component["state_topic"].startswith("home/desk/")
        assert "value_template" in component
        if component.get("device_class") == "enum":
            assert component["options"] == LABELS
            assert "unit_of_measurement" not in component


def test_each_rule_of_alerts_has_a_problem_sensor_and_an_event():
    rule = 'says "cancel"'
    announced = json.loads(discovery(Topics("home", "desk"), [], LABELS, None, [rule]))
    kinds = {c["p"]: c for name, c in announced["cmps"].items() if name.startswith("alert_")}
    assert set(kinds) == {"binary_sensor", "event"}
    assert kinds["event"]["state_topic"] == "home/desk/+/alert"
    templates = Environment(autoescape=False)  # noqa: S701 - as Home Assistant renders them
    templates.filters["to_json"] = json.dumps
    problem = templates.from_string(kinds["binary_sensor"]["value_template"])
    assert problem.render(value_json={"alerts": [rule]}) == "ON"
    assert problem.render(value_json={"alerts": ["other"]}) == "OFF"
    event = templates.from_string(kinds["event"]["value_template"])
    raised = json.loads(event.render(value_json={"rule": rule, "active": True, "at": 3}))
    assert raised["event_type"] in kinds["event"]["event_types"]
    assert raised["at"] == 3
    assert event.render(value_json={"rule": "other", "active": True}) == ""


async def test_speakers_are_announced_where_their_state_is(broker, make_sink):
    async with make_sink(broker, home_assistant=True) as sink:
        for event in conversation(30):
            await sink.emit(event)
    kept = retained(broker)
    announced = json.loads(kept[TOPIC])
    topics = {component["state_topic"] for component in announced["cmps"].values()}
    assert topics <= set(kept)
    assert "streamer/desk/state/agent" in topics


async def test_a_channel_that_is_only_context_is_not_announced(broker, tmp_path):
    settings = configuration.load(
        environment={},
        overrides={
            "mqtt.node": "desk",
            "mqtt.outbox": tmp_path,
            "mqtt.home_assistant": True,
            "privacy.channels": {"agent": "context"},
        },
    )
    async with mqtt_sink(settings, broker.url()) as sink:
        for event in conversation(5):
            await sink.emit(event)
    announced = retained(broker)[TOPIC].decode()
    assert "state/customer" in announced
    assert "state/agent" not in announced


async def test_announces_again_when_home_assistant_starts_and_after_a_reconnection(
    broker, make_sink
):
    async with make_sink(broker, home_assistant=True) as sink:
        for event in list(conversation(30))[:10]:
            await sink.emit(event)
        await asyncio.to_thread(wait_for, lambda: TOPIC in retained(broker))
        recorder = Recorder(broker, "homeassistant/#")
        recorder.client.publish("homeassistant/status", b"online", 1)
        await asyncio.to_thread(wait_for, lambda: len(recorder.payloads("/config")) == 2)
        await asyncio.to_thread(broker.restart)
        await asyncio.to_thread(wait_for, lambda: len(recorder.payloads("/config")) >= 3)
        recorder.close()


async def test_announces_nothing_unless_configured(broker, make_sink):
    async with make_sink(broker) as sink:
        for event in conversation(10):
            await sink.emit(event)
    assert TOPIC not in retained(broker)

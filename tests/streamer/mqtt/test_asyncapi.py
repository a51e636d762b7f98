"""The AsyncAPI document says what really happens."""

import asyncio
import json
import re

import jsonschema
import pytest

from streamer import events
from streamer.control import Control
from streamer.mqtt import mqtt_sink
from streamer.mqtt.asyncapi import asyncapi
from streamer.settings import load as configuration
from tests.brokers import Recorder, wait_for
from tests.event_streams import conversation


@pytest.fixture(scope="module")
def document():
    return asyncapi()


def references(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolve(document, reference):
    for key in reference.removeprefix("#/").split("/"):
        document = document[key]
    return document


def test_is_an_asyncapi_3_document(document):
    assert document["asyncapi"] == "3.0.0"
    assert {"title", "version"} <= set(document["info"])
    json.dumps(document)
    for name, channel in document["channels"].items():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel["parameters"])
        assert document["operations"][name]["action"] in {"send", "receive"}


def test_every_reference_resolves(document):
    found = list(references(document))
    assert len(found) > 30
    for reference in found:
        assert isinstance(resolve(document, reference), dict), reference


def test_every_type_of_event_has_its_channel(document):
    union = events.json_schema()["discriminator"]["mapping"]
    assert set(union) <= set(document["channels"])


async def test_published_messages_match_the_document(document, broker, tmp_path):
    settings = configuration.load(
        environment={},
        overrides={
            "mqtt.node": "desk",
            "mqtt.outbox": tmp_path,
            "mqtt.commands": True,
            "mqtt.types": [
                "session_started",
                "speech_started",
                "utterance",
                "mood",
                "session_ended",
            ],
        },
    )
    recorder = Recorder(broker)
    async with mqtt_sink(settings, broker.url(), Control()) as sink:
        recorder.client.publish("streamer/desk/command", b'{"command": "mark"}', 1)
        await asyncio.to_thread(wait_for, lambda: recorder.payloads("/reply"))
        for event in conversation(30):
            await sink.emit(event)
    wait_for(lambda: recorder.latest("availability") == b"stopped")
    recorder.close()
    seen = {check(document, topic, payload) for topic, payload, _ in recorder.messages}
    assert seen >= {"mood", "state", "diagnostics", "availability", "instance", "command", "reply"}


def check(document, topic: str, payload: bytes) -> str:
    """Validate a message against the document; give the name of its channel."""
    (name,) = (
        name
        for name, channel in document["channels"].items()
        if re.fullmatch(re.sub(r"{\w+}", "[^/]+", channel["address"]), topic)
    )
    message = document["components"]["messages"][name]
    if message["contentType"] == "text/plain":
        value = payload.decode()
    elif payload:
        value = json.loads(payload)
    else:
        return name  # taken back
    schema = message["payload"] | {"components": document["components"]}
    jsonschema.validate(value, schema)
    return name

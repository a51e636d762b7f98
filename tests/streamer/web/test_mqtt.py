"""A server that publishes to a broker: what is lost when both of them die."""

import contextlib
import json
import sqlite3

import pytest

from tests.brokers import Mosquitto, Recorder, wait_for
from tests.streamer.web.serving import samples, server

pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")

START = {"type": "start", "channels": ["agent", "customer"], "live": False}


def sequences(file):
    """The numbers of the events that a file holds; what a kill cut off is no line."""
    lines = file.read_text().split("\n")[:-1] if file.exists() else []
    return [json.loads(line)["seq"] for line in lines]


def stored(state):
    """The numbers of a session's events that wait in the outbox."""
    (file,) = state.rglob("*.sqlite")
    with contextlib.closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as box:
        rows = box.execute("SELECT payload FROM outbox").fetchall()
    events = (json.loads(payload) for (payload,) in rows)
    return {event["seq"] for event in events if event["session"] == "call"}


def test_what_outbox_and_file_had_taken_survives_a_kill_without_a_broker(random_bundle, tmp_path):
    broker = Mosquitto(tmp_path / "broker").start()
    recorder = Recorder(broker)
    state, events = tmp_path / "state", tmp_path / "events"
    environment = {"XDG_STATE_HOME": str(state), "STREAMER_MQTT_NODE": "desk"}
    quick = ("--set", "sounds.detect=false", "--set", "segmentation.endpoint=fixed")
    options = ("--mqtt", broker.url(), "--jsonl", f"{events}/", *quick)
    audio = samples(16).tobytes()
    with (
        server(random_bundle, *options, environment=environment) as (address, process),
        client.connect(f"ws://{address}/ws") as websocket,
    ):
        websocket.send(json.dumps({**START, "session": "call"}))
        websocket.send(audio[:400_000])
        wait_for(lambda: recorder.payloads("/utterance"), within=60)
        broker.kill()
        websocket.send(audio[400_000:])
        wait_for(lambda: len(stored(state)) > 10, within=60)
        process.kill()
        process.wait()
    waiting, written = stored(state), sequences(events / "call.jsonl")
    broker.start()
    with (
        server(random_bundle, *options, environment=environment) as (address, _),
        client.connect(f"ws://{address}/ws") as websocket,
    ):
        websocket.send(json.dumps({**START, "session": "next"}))
        websocket.send(audio[:64_000])
        websocket.send(json.dumps({"type": "end"}))
        assert [json.loads(event) for event in websocket][-1]["type"] == "session_ended"
    published = [json.loads(payload) for _, payload, _ in recorder.messages if b'"seq"' in payload]
    arrived = {event["seq"] for event in published if event["session"] == "call"}
    recorder.close()
    broker.stop()
    assert written == list(range(len(written)))
    assert len(written) > 10
    assert waiting
    assert waiting <= arrived
    assert arrived == set(range(max(arrived) + 1))

"""MQTT and a conversation that is heard live: commands in, and troubles as events."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

from streamer import events
from tests.brokers import Mosquitto, Recorder, wait_for

LATE = 60


@pytest.fixture
def broker(tmp_path):
    broker = Mosquitto(tmp_path / "broker").start()
    yield broker
    broker.stop()


@pytest.fixture
def listening(random_bundle, tmp_path, broker):
    """`streamer listen -`, which publishes and obeys; its outbox cannot be on disk."""
    (tmp_path / "occupied").write_text("")
    environment = os.environ | {
        "STREAMER_EMOTION_BUNDLE": str(random_bundle),
        "STREAMER_ASR_BACKEND": "none",
        "STREAMER_MQTT_NODE": "desk",
        "STREAMER_MQTT_COMMANDS": "true",
        "STREAMER_MQTT_OUTBOX": str(tmp_path / "occupied" / "outbox"),
    }
    command = [sys.executable, "-m", "streamer.cli", "listen", "-", "--mqtt", broker.url()]
    with subprocess.Popen(
        [*command, "--quiet"], env=environment, stdin=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        yield process
        process.kill()


def test_commands_are_obeyed_and_troubles_are_events(broker, listening):
    recorder = Recorder(broker)
    second = np.zeros(16_000, np.int16).tobytes()
    listening.stdin.write(second)
    listening.stdin.flush()
    wait_for(lambda: recorder.payloads("/session_started"), within=LATE)

    def ask(command: str, **more) -> dict:
        before = len(recorder.payloads("/reply"))
        payload = json.dumps({"command": command, **more})
        recorder.client.publish("streamer/desk/command", payload, 1)
        wait_for(lambda: len(recorder.payloads("/reply")) > before)
        return json.loads(recorder.latest("/reply"))

    assert ask("mark", id="1", label="here") == {
        "id": "1",
        "command": "mark",
        "ok": True,
        "message": None,
    }
    assert ask("pause")["ok"]
    assert ask("pause")["message"] == "already paused"
    listening.stdin.write(second)
    listening.stdin.flush()
    assert ask("resume")["ok"]
    listening.stdin.write(second)
    listening.stdin.close()
    assert listening.wait(LATE) == 0, listening.stderr.read()
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    (mark,) = map(events.parse, recorder.payloads("/mark"))
    assert mark.label == "here"
    (error,) = map(events.parse, recorder.payloads("/error"))
    assert error.part == "sink mqtt"
    assert "events wait in memory" in error.message

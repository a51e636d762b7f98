"""MQTT as its users run it: a replay that publishes, somebody who watches, and a node that is forgotten."""

import json
import signal
import subprocess
import sys

import pytest

from streamer import events
from tests.audio_files import write_audio
from tests.brokers import Mosquitto, Recorder, free_port, retained, wait_for
from tests.end_to_end.conversations import two_speakers

LATE = 60
"""Seconds after which a program that should have ended is stuck."""


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    return write_audio(tmp_path_factory.mktemp("call") / "call.wav", two_speakers(), 16_000)


@pytest.fixture
def environment(environment, tmp_path):
    return environment | {
        "STREAMER_MQTT_NODE": "desk",
        "XDG_STATE_HOME": str(tmp_path / "state"),
    }


@pytest.fixture
def streamer(environment):
    def run(*arguments, **options):
        command = [sys.executable, "-m", "streamer.cli", *map(str, arguments)]
        options = {"capture_output": True, "timeout": LATE, "env": environment} | options
        return subprocess.run(command, check=False, text=True, **options)

    return run


@pytest.fixture
def broker(tmp_path):
    broker = Mosquitto(tmp_path / "broker").start()
    yield broker
    broker.stop()


def watch(broker, environment, *arguments):
    """A running `streamer watch`, which has subscribed."""
    command = [sys.executable, "-m", "streamer.cli", "watch", "--mqtt", broker.url(), *arguments]
    before = (broker.directory / "log").read_text().count("availability (QoS 1)")
    watching = subprocess.Popen(
        command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    log = broker.directory / "log"
    wait_for(lambda: log.read_text().count("availability (QoS 1)") > before, what="watch")
    return watching


def test_a_call_is_watched_as_it_happens_and_then_forgotten(
    broker, environment, streamer, call, tmp_path
):
    as_json, as_table = watch(broker, environment, "--json"), watch(broker, environment)
    file = tmp_path / "call.jsonl"
    replayed = streamer("replay", call, "--speed", "max", "--jsonl", file, "--mqtt", broker.url())
    assert replayed.returncode == 0, replayed.stderr

    written, table = file.read_text().splitlines(), replayed.stdout.splitlines()
    assert [as_json.stdout.readline().rstrip("\n") for _ in written] == written
    seen = []
    while table[-1] not in seen:
        seen.append(as_table.stdout.readline().rstrip("\n"))
    assert [line for line in seen if line in table] == table
    for watching, number in ((as_json, signal.SIGINT), (as_table, signal.SIGTERM)):
        watching.send_signal(number)
        _, complaints = watching.communicate(timeout=LATE)
        assert watching.returncode == 130
        assert "Traceback" not in complaints

    kept = retained(broker)
    speakers = [json.loads(kept[topic]) for topic in kept if "/state/" in topic]
    assert len(speakers) == 2
    assert all(speaker["mood"] and not speaker["speaking"] for speaker in speakers)
    forgotten = streamer("mqtt", "forget", "--mqtt", broker.url())
    assert forgotten.stdout == f"{len(kept)} retained messages removed\n"
    assert retained(broker) == {}


def test_a_replay_that_is_killed_and_done_again_leaves_no_hole(broker, environment, streamer, call):
    recorder = Recorder(broker)
    command = [sys.executable, "-m", "streamer.cli", "replay", call, "--mqtt", broker.url()]
    with subprocess.Popen([*command, "--session", "a", "--quiet"], env=environment) as killed:
        wait_for(lambda: recorder.payloads("/utterance"), within=LATE)
        killed.kill()
    wait_for(lambda: recorder.latest("availability") == b"offline")
    done = streamer(*command[3:], "--speed", "max", "--session", "b", "--quiet")
    assert done.returncode == 0, done.stderr
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    parsed = [
        events.parse(payload)
        for topic, payload, _ in recorder.messages
        if len(topic.split("/")) == 4 and topic.split("/")[2] in "ab"
    ]
    for session in "ab":
        numbers = list(dict.fromkeys(event.seq for event in parsed if event.session == session))
        assert numbers == list(range(len(numbers)))
        assert len(numbers) > 3


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("watch",), "no broker"),
        (("watch", "--mqtt", "mqtt://localhost:1"), "connection refused"),
        (("watch", "--mqtt", "http://localhost"), "expected mqtt"),
        (("mqtt", "forget", "--mqtt", "mqtt://localhost:1"), "connection refused"),
        (("watch", "--mqtt", "mqtt://ann:secret@localhost"), "mqtt.password.file"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(streamer, arguments, reason):
    done = streamer(*arguments)
    assert done.returncode == 2
    assert reason in done.stderr
    assert done.stderr.count("\n") == 1
    assert "secret" not in done.stderr


def test_the_topics_as_a_document(streamer):
    document = json.loads(streamer("schema", "--asyncapi").stdout)
    assert document["asyncapi"] == "3.0.0"
    assert "utterance" in document["channels"]


def test_a_job_that_must_deliver_fails_without_a_broker(streamer, call, tmp_path):
    address = f"mqtt://localhost:{free_port()}"
    file = tmp_path / "call.jsonl"
    command = ("replay", call, "--speed", "max", "--jsonl", file, "--mqtt", address, "--quiet")
    lenient = streamer(*command)
    assert lenient.returncode == 0
    assert "the next run delivers them" in lenient.stderr
    strict = streamer(*command[:-3], "--mqtt", address, "--mqtt-required", "--quiet")
    assert strict.returncode == 1
    assert "events undelivered" in strict.stderr
    assert "Traceback" not in strict.stderr


def test_a_node_that_is_started_again_elsewhere_delivers_what_waits(
    broker, environment, streamer, call
):
    """Another host name, the same state directory: as a recreated container has."""
    recorder = Recorder(broker)
    broker.stop()
    first = streamer("replay", call, "--speed", "max", "--quiet", "--mqtt", broker.url())
    assert "events wait in" in first.stderr
    broker.start()
    named = environment | {"STREAMER_MQTT_NODE": "other"}
    second = streamer(
        "replay", call, "--speed", "max", "--quiet", "--mqtt", broker.url(), env=named
    )
    assert second.returncode == 0
    assert "of an earlier node will be delivered" in second.stderr
    wait_for(lambda: len(recorder.payloads("/session_ended")) == 2)
    recorder.close()


def test_a_fleet_is_shown_as_a_table_and_as_json(broker, environment, streamer, call):
    streamer("replay", call, "--speed", "max", "--quiet", "--mqtt", broker.url())
    command = [sys.executable, "-m", "streamer.cli", "watch", "--fleet", "--mqtt", broker.url()]
    wide = environment | {"COLUMNS": "200"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": wide}
    with subprocess.Popen(command, **pipes) as table:
        lines = []
        while not any("desk" in line for line in lines):
            lines.append(table.stdout.readline())
        table.send_signal(signal.SIGINT)
        assert table.wait(LATE) == 130
        assert table.stderr.read() == ""
    assert any("1 node: 1 stopped" in line for line in lines)
    with subprocess.Popen([*command, "--json"], **pipes) as as_json:
        node = {}
        while not node.get("utterances"):
            node = json.loads(as_json.stdout.readline())
        as_json.send_signal(signal.SIGTERM)
        as_json.wait(LATE)
    assert node["node"] == "desk"
    assert len(node["channels"]) == 2

"""Real brokers for tests: mosquitto on a port of its own, and a plain subscriber that records."""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

import paho.mqtt.client as paho
import pytest

MOSQUITTO = shutil.which(
    "mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin"
)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for(condition, *, within: float = 20.0, what: str = "") -> None:
    """Wait until something has become true; the limit is only there to end a test that has failed."""
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline, f"waited {within} s in vain for {what or condition}"
        time.sleep(0.01)


class Mosquitto:
    """A broker with a configuration of its own, which may be stopped, killed, frozen and started again.

    Args:
        directory: where its configuration, log and memory are.
        lines: of its configuration, beside those for the port and the memory.
        listener: lines that belong to the listener, such as certificates.
    """

    def __init__(self, directory: Path, *lines: str, listener: tuple[str, ...] = ()) -> None:
        if MOSQUITTO is None:
            pytest.skip("the MQTT broker mosquitto is not installed (Debian: mosquitto)")
        self.directory = directory
        self.port = free_port()
        self.lines = lines or ("allow_anonymous true",)
        self.listener = listener
        self.process: subprocess.Popen[bytes] | None = None

    def url(self, *, user: str = "", prefix: str = "streamer", scheme: str = "mqtt") -> str:
        return f"{scheme}://{user}{'@' if user else ''}localhost:{self.port}/{prefix}"

    def start(self) -> "Mosquitto":
        self.directory.mkdir(parents=True, exist_ok=True)
        configuration = self.directory / "mosquitto.conf"
        configuration.write_text(
            "\n".join(
                (
                    "per_listener_settings false",
                    f"listener {self.port} 127.0.0.1",
                    *self.listener,
                    f"user {os.environ.get('USER') or 'root'}",
                    "persistence true",
                    f"persistence_location {self.directory}/",
                    *self.lines,
                )
            )
        )
        with (self.directory / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [MOSQUITTO, "-v", "-c", str(configuration)], stdout=log, stderr=log
            )
        wait_for(self._listens, what=f"mosquitto, see {self.directory}/log")
        return self

    def stop(self, number: int = signal.SIGTERM) -> None:
        if self.process is not None:
            self.process.send_signal(number)
            self.process.send_signal(signal.SIGCONT)
            self.process.wait(20)
            self.process = None

    def kill(self) -> None:
        self.stop(signal.SIGKILL)

    def restart(self) -> None:
        self.stop()
        self.start()

    def freeze(self) -> None:
        self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def _listens(self) -> bool:
        assert self.process.poll() is None, (self.directory / "log").read_text()
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


class Recorder:
    """A subscriber made of the plain client library: keeps each message as (topic, payload, retained).

    Its session is persistent, and it connects again by itself.
    """

    def __init__(self, broker: Mosquitto, topic: str = "#", *, name: str = "recorder", **login):
        self.messages: list[tuple[str, bytes, bool]] = []
        self.properties = []
        self.client = paho.Client(
            paho.CallbackAPIVersion.VERSION2, name, clean_session=False, protocol=paho.MQTTv311
        )
        if login:
            self.client.username_pw_set(**login)
        self.client.reconnect_delay_set(0.1, 0.1)
        self.client.on_message = self._take
        self.client.on_connect = self._subscribe
        self.client.on_subscribe = self._subscribed
        self._topic = topic
        self._ready = False
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        wait_for(lambda: self._ready, what="the subscription")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def payloads(self, topic_end: str = "") -> list[bytes]:
        return [payload for topic, payload, _ in list(self.messages) if topic.endswith(topic_end)]

    def latest(self, topic_end: str) -> bytes | None:
        return next(iter(self.payloads(topic_end)[::-1]), None)

    def _subscribe(self, client, *_):
        client.subscribe(self._topic, 1)

    def _subscribed(self, *_):
        self._ready = True

    def _take(self, _client, _userdata, message):
        self.messages.append((message.topic, message.payload, bool(message.retain)))


def retained(broker: Mosquitto, **login) -> dict[str, bytes]:
    """All that a broker retains, by topic."""
    recorder = Recorder(broker, name="retained", **login)
    # Retained messages come before what is published after the subscription.
    recorder.client.publish("end-of-retained", b"", 1)
    wait_for(lambda: recorder.payloads("end-of-retained"), what="the retained messages")
    recorder.close()
    return {topic: payload for topic, payload, kept in recorder.messages if kept}

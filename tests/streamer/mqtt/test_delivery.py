"""Every event arrives, in order, whatever the broker does."""

import asyncio
import json
import re
import subprocess
import sys
import textwrap
import threading
import time
from collections import defaultdict

import pytest

from streamer import events
from tests.brokers import Recorder, wait_for
from tests.event_streams import conversation


def sequences(recorder: Recorder, node: str = "desk") -> dict[str, list[int]]:
    """The numbers of the events that arrived, repeats removed, by session."""
    found = defaultdict(dict)
    for topic, payload, _ in list(recorder.messages):
        levels = topic.split("/")
        if len(levels) == 4 and levels[2] not in {"state", "command"} and levels[1] == node:
            event = json.loads(payload)
            found[event["session"]].setdefault(event["seq"])
    return {session: list(numbers) for session, numbers in found.items()}


async def publish(sink, stream) -> None:
    async with sink:
        for event in stream:
            await sink.emit(event)


async def until(condition, what: str = "") -> None:
    """Wait, with the loop going on, until something has become true."""
    await asyncio.to_thread(wait_for, condition, what=what)


async def test_events_arrive_as_they_are_on_the_wire(broker, make_sink):
    recorder = Recorder(broker)
    stream = list(conversation(50))
    await publish(make_sink(broker), stream)
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    arrived = [
        (topic, payload.decode())
        for topic, payload, _ in recorder.messages
        if topic.startswith("streamer/desk/call/")
    ]
    assert arrived == [(f"streamer/desk/call/{event.type}", event.to_json()) for event in stream]


async def test_a_broker_stopped_or_killed_twenty_times_loses_nothing(make_broker, make_sink):
    broker = make_broker("allow_anonymous true", "max_queued_messages 0")
    recorder = Recorder(broker)
    broker.restart()  # so that even a broker that is killed knows the subscription
    done = threading.Event()

    def restart_often() -> None:
        for number in range(20):
            seen = len(recorder.messages)
            wait_for(lambda seen=seen: len(recorder.messages) > seen + 50 or done.is_set())
            broker.stop() if number % 2 else broker.kill()
            time.sleep(0.02 * (number % 3))
            broker.start()

    restarts = threading.Thread(target=restart_often)
    restarts.start()
    async with make_sink(broker, flush=20) as sink:
        for count, event in enumerate(conversation(10_000)):
            await sink.emit(event)
            if count % 10 == 0:
                await asyncio.sleep(0.005)
            if count == 9_998:
                done.set()
                await asyncio.to_thread(restarts.join)
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(10_000))}


async def test_a_broker_absent_at_the_start_gets_everything_later(make_broker, make_sink, caplog):
    broker = make_broker(start=False)
    async with make_sink(broker, flush=20) as sink:
        for event in conversation(100):
            await sink.emit(event)
        assert "connection refused" in caplog.text
        assert not sink.connected
        await asyncio.to_thread(broker.start)
        recorder = Recorder(broker)
        await until(lambda: not sink.waiting)
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(100))}


async def test_the_next_run_delivers_what_the_last_one_could_not(make_broker, make_sink, caplog):
    broker = make_broker(start=False)
    await publish(make_sink(broker, flush=0), conversation(30, "first"))
    assert "30 events wait in" in caplog.text
    broker.start()
    recorder = Recorder(broker)
    await publish(make_sink(broker), conversation(30, "second"))
    wait_for(lambda: len(recorder.payloads("/session_ended")) == 2)
    recorder.close()
    assert sequences(recorder) == {"first": list(range(30)), "second": list(range(30))}
    assert list(sequences(recorder)) == ["first", "second"]


PUBLISHER = """
    import asyncio, sys
    from streamer.settings import load as configuration
    from streamer.mqtt import mqtt_sink
    from tests.event_streams import conversation

    async def main(url, directory, session):
        settings = {"mqtt.url": url, "mqtt.node": "desk", "mqtt.outbox": directory}
        async with mqtt_sink(configuration.load(environment={}, overrides=settings)) as sink:
            for count, event in enumerate(conversation(2000, session)):
                await sink.emit(event)
                if count % 100 == 0:
                    await sink.stored()
                    print(count, flush=True)  # so many are stored

    asyncio.run(main(*sys.argv[1:]))
"""


def test_a_killed_publisher_loses_nothing_that_was_stored(broker, tmp_path):
    recorder = Recorder(broker)
    command = [sys.executable, "-c", textwrap.dedent(PUBLISHER), broker.url(), tmp_path / "outbox"]
    given = {}
    for session in ("a", "b", "c"):
        with subprocess.Popen([*command, session], stdout=subprocess.PIPE, text=True) as publisher:
            for line in publisher.stdout:
                given[session] = int(line)
                if given[session] == 500:
                    broker.freeze()  # so that much is in flight
                if given[session] == 1200:
                    publisher.kill()
                    break
            broker.thaw()
    last = subprocess.run([*command, "last"], stdout=subprocess.DEVNULL, check=False, timeout=60)
    assert last.returncode == 0
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    arrived = sequences(recorder)
    assert arrived["last"] == list(range(2000))
    for session, count in given.items():
        assert arrived[session] == list(range(len(arrived[session])))
        assert len(arrived[session]) > count


async def test_notices_a_frozen_connection_and_reconnects(broker, make_sink, caplog):
    recorder = Recorder(broker)
    async with make_sink(broker, keep_alive=2, flush=20) as sink:
        stream = conversation(100)
        for _ in range(50):
            await sink.emit(next(stream))
        await until(lambda: not sink.waiting)
        broker.freeze()
        for event in stream:
            await sink.emit(event)
        await until(lambda: not sink.connected, "the keep-alive")
        assert "keep alive" in caplog.text
        assert sink.waiting == 50
        broker.thaw()
        await until(lambda: not sink.waiting)
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(100))}


def large(stream, seq: int, size: int):
    """The stream with an error message of some size in place of an event."""
    for event in stream:
        if event.seq == seq:
            yield events.Error(
                session=event.session, seq=seq, time=event.time, part="x", message="m" * size
            )
        else:
            yield event


@pytest.mark.parametrize(
    ("limit", "protocol", "reason"),
    [
        ("max_packet_size 20000", "5", "larger than the broker's limit of 20000 bytes"),
        ("max_packet_size 20000", "3.1.1", "the broker dropped the connection 3 times"),
        ("message_size_limit 20000", "5", "packet too large"),
    ],
)
async def test_gives_up_and_reports_only_the_event_that_is_too_large(
    make_broker, make_sink, caplog, limit, protocol, reason
):
    broker = make_broker("allow_anonymous true", limit)
    recorder = Recorder(broker)
    reports = []
    sink = make_sink(broker, protocol=protocol, flush=20)
    sink.report = reports.append
    await publish(sink, large(conversation(60), 30, 30_000))
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": [seq for seq in range(60) if seq != 30]}
    assert any("1 events given up (1 error)" in line and reason in line for line in reports)
    assert json.loads(recorder.latest("/diagnostics"))["given_up"] == 1


async def test_a_full_outbox_gives_up_updates_first_and_reports_their_number(
    make_broker, make_sink, monkeypatch
):
    monkeypatch.setattr("streamer.mqtt.node.OUTBOX_BYTES", 160_000)
    broker = make_broker(start=False)
    reports = []
    sink = make_sink(broker, flush=20)
    sink.report = reports.append
    async with sink:
        for event in conversation(500):
            await sink.emit(event)
        await asyncio.to_thread(broker.start)
        recorder = Recorder(broker)
        await until(lambda: not sink.waiting)
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    numbers = sequences(recorder)["call"]
    stream = {event.seq: event.type for event in conversation(500)}
    lost = [stream[seq] for seq in range(500) if seq not in numbers]
    assert set(lost) == {"speech_update"}
    assert "given up" in reports[0]
    counted = sum(int(line.split("MQTT: ")[1].split()[0]) for line in reports)
    assert counted == len(lost)


async def test_without_a_disk_events_are_still_delivered(broker, make_sink, tmp_path):
    (tmp_path / "occupied").write_text("")
    reports = []
    recorder = Recorder(broker)
    sink = make_sink(broker, outbox=tmp_path / "occupied" / "outbox")
    sink.report = reports.append
    await publish(sink, conversation(100))
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(100))}
    assert "events wait in memory" in reports[0]


async def test_a_slow_subscriber_does_not_hold_up_another(broker, make_sink):
    quick = Recorder(broker, name="quick")
    slow = Recorder(broker, name="slow")
    seen = []
    slow.client.on_message = lambda _c, _u, message: (time.sleep(0.005), seen.append(message.topic))
    await publish(make_sink(broker), conversation(600))
    wait_for(lambda: quick.payloads("/session_ended"))
    assert not any(topic.endswith("/session_ended") for topic in seen)
    quick.close()
    wait_for(lambda: any(topic.endswith("/session_ended") for topic in seen))
    slow.close()


@pytest.mark.parametrize("protocol", ["5", "3.1.1", "auto"])
async def test_both_versions_of_the_protocol(broker, make_sink, protocol):
    recorder = Recorder(broker)
    await publish(make_sink(broker, protocol=protocol), conversation(30))
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(30))}
    version = "p5" if protocol != "3.1.1" else "p2"
    log = (broker.directory / "log").read_text()
    assert re.search(rf"as streamer-\w+ \({version},", log)

"""Presence: availability, retained messages, and two publishers under one name."""

import asyncio
import json
import os
import subprocess
import sys
import textwrap

import pytest

from streamer.errors import UserError
from streamer.mqtt.forget import forget
from streamer.settings import load as configuration
from tests.brokers import Recorder, retained, wait_for
from tests.event_streams import conversation

PUBLISHER = """
    import asyncio, sys
    from streamer.settings import load as configuration
    from streamer.mqtt import mqtt_sink
    from tests.event_streams import conversation

    async def main(url, directory):
        settings = {"mqtt.url": url, "mqtt.node": "desk", "mqtt.outbox": directory}
        sink = mqtt_sink(configuration.load(environment={}, overrides=settings))
        async with sink:
            for event in list(conversation(30))[:12]:
                await sink.emit(event)
            while sink.waiting:
                await asyncio.sleep(0.01)
            print("there", flush=True)
            await asyncio.sleep(60)

    asyncio.run(main(*sys.argv[1:]))
"""


@pytest.fixture
def killed(broker, tmp_path) -> None:
    """A publisher that was killed."""
    command = [sys.executable, "-c", textwrap.dedent(PUBLISHER), broker.url(), tmp_path / "outbox"]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as publisher:
        assert publisher.stdout.readline() == b"there\n"
        publisher.kill()
    recorder = Recorder(broker, "streamer/desk/availability")
    wait_for(lambda: recorder.latest("availability") == b"offline", what="the last will")
    recorder.close()


async def published(sink, count: int = 30) -> None:
    async with sink:
        for event in conversation(count):
            await sink.emit(event)


async def test_a_clean_end_leaves_the_node_stopped_and_its_states_retained(broker, make_sink):
    await published(make_sink(broker))
    kept = retained(broker)
    assert set(kept) == {
        "streamer/desk/availability",
        "streamer/desk/diagnostics",
        "streamer/desk/state/agent",
        "streamer/desk/state/customer",
    }
    assert kept["streamer/desk/availability"] == b"stopped"
    agent = json.loads(kept["streamer/desk/state/agent"])
    assert agent["emotion"] == "neutral"
    assert agent["mood"]["emotion"] == "neutral"
    assert not agent["speaking"]


async def test_a_running_node_is_online(broker, make_sink):
    async with make_sink(broker):
        kept = retained(broker)
        assert kept["streamer/desk/availability"] == b"online"
        assert json.loads(kept["streamer/desk/instance"])["version"]


def test_a_crashed_node_is_offline(broker, killed):
    kept = retained(broker)
    assert kept["streamer/desk/availability"] == b"offline"
    assert json.loads(kept["streamer/desk/state/agent"])["emotion"] == "angry"


async def test_a_node_interrupted_while_flushing_is_offline(broker, make_sink):
    sink = await make_sink(broker, flush=60).__aenter__()
    recorder = Recorder(broker)
    broker.freeze()  # so that there is something to wait for
    for event in conversation(30):
        await sink.emit(event)
    leaving = asyncio.create_task(sink.__aexit__(None, None, None))
    await asyncio.sleep(0.1)
    leaving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaving
    broker.thaw()
    wait_for(lambda: recorder.latest("availability") == b"offline")
    recorder.close()


async def test_the_run_after_a_crash_is_online(broker, killed, make_sink):
    async with make_sink(broker):
        assert retained(broker)["streamer/desk/availability"] == b"online"


async def test_forget_removes_all_retained_messages(broker, killed):
    overrides = {"mqtt.url": broker.url(), "mqtt.node": "desk"}
    assert await forget(configuration.load(environment={}, overrides=overrides)) == 5
    assert retained(broker) == {}


async def test_forget_refuses_an_online_node_without_force(broker, make_sink):
    settings = configuration.load(environment={}, overrides={"mqtt.node": "desk"})
    async with make_sink(broker):
        with pytest.raises(UserError, match="online"):
            await forget(settings, broker.url())
        await forget(settings, broker.url(), force=True)


async def test_a_late_last_will_does_not_leave_a_running_node_offline(broker, make_sink):
    async with make_sink(broker):
        recorder = Recorder(broker, "streamer/desk/availability")
        recorder.client.publish("streamer/desk/availability", b"offline", 1, retain=True)
        await asyncio.to_thread(
            wait_for, lambda: recorder.payloads()[-2:] == [b"offline", b"online"]
        )
        recorder.close()


async def test_refuses_a_second_publisher_of_the_name_and_reports_it_to_the_first(
    broker, make_sink, tmp_path
):
    reports = []
    first = make_sink(broker)
    first.report = reports.append
    async with first:
        # Another machine has another outbox, so only the broker connects the two.
        second = make_sink(broker, outbox=tmp_path / "elsewhere")
        with pytest.raises(UserError, match=r"process \d+ on .* as node desk already.*mqtt\.node"):
            await second.__aenter__()
        await asyncio.to_thread(wait_for, lambda: reports)
        assert "wants to publish as node desk too" in reports[0]
        assert retained(broker)["streamer/desk/availability"] == b"online"
        for event in conversation(30):
            await first.emit(event)
    assert retained(broker)["streamer/desk/availability"] == b"stopped"


@pytest.mark.parametrize("milliseconds", [0, 1, 2, 4, 8, 16])
async def test_of_two_simultaneous_claims_one_holds(broker, make_sink, tmp_path, milliseconds):
    sinks = [make_sink(broker, outbox=tmp_path / str(number)) for number in range(2)]

    async def enter_later(sink):
        await asyncio.sleep(milliseconds / 1000)
        return await sink.__aenter__()

    entering = [sinks[0].__aenter__(), enter_later(sinks[1])]
    outcomes = await asyncio.gather(*entering, return_exceptions=True)
    entered = [sink for sink in sinks if sink in outcomes]
    refused = [outcome for outcome in outcomes if isinstance(outcome, UserError)]
    assert len(entered) == 1
    assert len(refused) == 1
    await entered[0].__aexit__(None, None, None)


async def test_a_second_process_on_the_same_machine_is_refused(broker, make_sink, tmp_path):
    async with make_sink(broker):
        second = await asyncio.to_thread(
            subprocess.run,
            [sys.executable, "-c", textwrap.dedent(PUBLISHER), broker.url(), tmp_path / "outbox"],
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert second.returncode
    assert f"another streamer (process {os.getpid()})" in second.stderr


async def test_names_differ_so_nodes_share_a_broker(broker, make_sink):
    async with make_sink(broker, node="one"), make_sink(broker, node="two"):
        kept = retained(broker)
    assert kept["streamer/one/availability"] == kept["streamer/two/availability"] == b"online"


async def test_conversations_at_the_same_time_share_their_node(broker, make_sink):
    recorder = Recorder(broker)

    async def converse(session: str) -> None:
        async with make_sink(broker) as sink:
            for event in conversation(50, session):
                await sink.emit(event)
                await asyncio.sleep(0)

    await asyncio.gather(*(converse(session) for session in "abc"))
    await converse("d")
    wait_for(lambda: recorder.latest("availability") == b"stopped")
    wait_for(lambda: len(recorder.payloads("/session_ended")) == 4)
    recorder.close()
    for session in "abcd":
        arrived = [
            json.loads(payload)["seq"]
            for topic, payload, _ in recorder.messages
            if topic.startswith(f"streamer/desk/{session}/")
        ]
        assert arrived == list(range(50))


async def test_the_end_of_one_conversation_does_not_stop_the_others(broker, make_sink):
    async with make_sink(broker) as first:
        async with make_sink(broker):
            pass
        assert first.connected
        assert retained(broker)["streamer/desk/availability"] == b"online"


async def test_all_conversations_of_a_node_are_refused_together(make_broker, make_sink):
    broker = make_broker("allow_anonymous false")
    outcomes = await asyncio.gather(
        *(make_sink(broker).__aenter__() for _ in range(3)), return_exceptions=True
    )
    assert [type(outcome) for outcome in outcomes] == [UserError] * 3

"""Every event arrives, in order, whatever the broker does."""

import asyncio
import json
import threading
import time
from collections import defaultdict

import pytest

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


async def delivered(sink) -> None:
    while sink.waiting:
        await asyncio.sleep(0.01)


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


@pytest.mark.parametrize("end", ["stop", "kill"])
async def test_a_broker_restarted_twenty_times_loses_nothing(make_broker, make_sink, end):
    broker = make_broker(
        "allow_anonymous true",
        "max_queued_messages 0",
    )
    recorder = Recorder(broker)
    broker.restart()  # so that even a broker that is killed knows the subscription
    done = threading.Event()

    def restart_often() -> None:
        for number in range(20):
            seen = len(recorder.messages)
            wait_for(lambda seen=seen: len(recorder.messages) > seen + 50 or done.is_set())
            getattr(broker, end)()
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
        await delivered(sink)
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(10_000))}

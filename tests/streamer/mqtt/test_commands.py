import asyncio
import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.clock import VirtualClock
from streamer.control import Control
from streamer.mqtt import address
from streamer.mqtt.commands import BURST, MAX_BYTES, RATE, Commands, parse, steer
from streamer.mqtt.sink import MqttSink
from streamer.settings import load as configuration
from tests.brokers import Recorder, wait_for
from tests.event_streams import conversation


class Executed:
    """Records the commands it executes."""

    def __init__(self) -> None:
        self.commands = []

    async def __call__(self, command) -> str | None:
        self.commands.append(command)
        return "already paused" if len(self.commands) > 1 else None


async def test_a_command_is_executed_and_answered():
    executed = Executed()
    commands = Commands(executed)
    reply = await commands.execute(b'{"command": "mark", "id": "7", "label": "here"}')
    assert (reply.id, reply.command, reply.ok) == ("7", "mark", True)
    assert executed.commands[0].label == "here"


async def test_replies_why_a_command_failed():
    commands = Commands(Executed())
    await commands.execute(b'{"command": "pause"}')
    reply = await commands.execute(b'{"command": "pause"}')
    assert not reply.ok
    assert reply.message == "already paused"


async def test_a_command_that_is_delivered_twice_is_executed_once():
    executed = Executed()
    commands = Commands(executed)
    replies = [await commands.execute(b'{"command": "mark", "id": "7"}') for _ in range(2)]
    assert len(executed.commands) == 1
    assert replies[0] == replies[1]


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"pause",
        b"[]",
        b'{"command": "shutdown"}',
        b'{"command": "pause", "more": 1}',
        b'{"command": "mark", "label": 5}',
        b'{"command": "mark", "id": "' + b"x" * 200 + b'"}',
        b"[" * 3000,
        b'"' + b"x" * MAX_BYTES + b'"',
        b"\xff\xfe",
    ],
)
async def test_answers_invalid_payloads_without_executing_them(payload):
    executed = Executed()
    reply = await Commands(executed).execute(payload)
    assert not reply.ok
    assert len(reply.message) <= 500
    assert "\n" not in reply.message
    assert executed.commands == []


@given(st.binary())
def test_any_payload_is_a_command_or_a_value_error(payload):
    with contextlib.suppress(ValueError):
        assert parse(payload).command in {"pause", "resume", "mark", "summary"}


async def test_controls_a_live_conversation():
    control = Control()
    commands = Commands(steer(control))

    async def execute(**command) -> str | None:
        reply = await commands.execute(json.dumps(command).encode())
        return reply.message

    assert await execute(command="pause") is None
    assert control.paused
    assert await execute(command="pause") == "already paused"
    assert await execute(command="resume") is None
    assert not control.paused
    assert await execute(command="resume") == "not paused"
    assert await execute(command="mark", label="here") is None
    assert control.marks.get_nowait() == "here"
    assert await execute(command="summary") is None
    assert control.summaries.get_nowait() is None


def sink_with(broker, tmp_path, handler, *, on: bool):
    overrides = {"mqtt.node": "desk", "mqtt.outbox": tmp_path, "mqtt.commands": on}
    settings = configuration.load(environment={}, overrides=overrides)
    return MqttSink(settings, address.broker(settings.mqtt, broker.url()), handler)


async def test_over_the_broker(broker, tmp_path):
    executed = Executed()
    recorder = Recorder(broker, "streamer/desk/command/reply")
    # A retained command would be executed again after each reconnection.
    recorder.client.publish("streamer/desk/command", b'{"command": "pause"}', 1, retain=True)
    async with sink_with(broker, tmp_path, executed, on=True):
        recorder.client.publish("streamer/desk/command", b'{"command": "mark", "id": "1"}', 1)
        await asyncio.to_thread(wait_for, recorder.payloads)
    recorder.close()
    (reply,) = recorder.payloads()
    assert json.loads(reply) == {"id": "1", "command": "mark", "ok": True, "message": None}
    assert [command.command for command in executed.commands] == ["mark"]


async def test_a_command_for_one_session_reaches_that_one(broker, tmp_path):
    here, there = Executed(), Executed()
    recorder = Recorder(broker, "streamer/desk/command/reply")
    async with (
        sink_with(broker, tmp_path, here, on=True) as one,
        sink_with(broker, tmp_path, there, on=True) as other,
    ):
        await one.emit(next(conversation(session="here")))
        await other.emit(next(conversation(session="there")))
        for session in ("there", "nowhere"):
            command = json.dumps({"command": "pause", "session": session})
            recorder.client.publish("streamer/desk/command", command, 1)
        await asyncio.to_thread(wait_for, lambda: len(recorder.payloads()) == 2)
    recorder.close()
    assert [json.loads(reply)["ok"] for reply in recorder.payloads()] == [True, False]
    assert here.commands == []
    assert [command.session for command in there.commands] == ["there"]


async def test_commands_are_off_unless_configured(broker, tmp_path):
    executed = Executed()
    recorder = Recorder(broker, "streamer/desk/#")
    async with sink_with(broker, tmp_path, executed, on=False):
        recorder.client.publish("streamer/desk/command", b'{"command": "mark", "id": "1"}', 1)
        await asyncio.to_thread(wait_for, lambda: recorder.payloads("/command"))
    wait_for(lambda: recorder.latest("availability") == b"stopped")
    recorder.close()
    assert executed.commands == []
    assert recorder.payloads("/reply") == []


async def test_executes_a_limited_number_of_commands_a_second():
    executed, clock = Executed(), VirtualClock()
    commands = Commands(executed, clock)

    async def flood(count: int) -> int:
        before = len(executed.commands)
        replies = [await commands.execute(b'{"command": "mark"}') for _ in range(count)]
        assert sum(reply is not None and reply.command is None for reply in replies) <= 1
        return len(executed.commands) - before

    assert await flood(100) == BURST
    await clock.sleep_until(clock.seconds() + 1)
    assert await flood(50) == RATE
    await clock.sleep_until(clock.seconds() + 60)
    assert await flood(100) == BURST

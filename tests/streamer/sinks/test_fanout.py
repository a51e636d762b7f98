"""The fan-out: numbers, order, and sinks that fail, are slow or stuck."""

import asyncio
from datetime import UTC, datetime

import pytest

from streamer import events
from streamer.clock import VirtualClock
from streamer.control import Control
from streamer.errors import UserError
from streamer.sinks import Sink
from streamer.sinks.fanout import EventBus

EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


class Collecting(Sink):
    def __init__(self):
        self.events, self.left = [], False

    async def __aexit__(self, *_):
        self.left = True

    async def emit(self, event):
        self.events.append(event)

    @property
    def types(self):
        return [event.type for event in self.events]


class Failing(Collecting):
    def __init__(self, error, after=0, leaving=None):
        super().__init__()
        self.error, self.after, self.leaving = error, after, leaving

    async def __aexit__(self, *_):
        self.left = True
        if self.leaving:
            raise self.leaving

    async def emit(self, event):
        if self.error and len(self.events) >= self.after:
            raise self.error
        await super().emit(event)


class Stuck(Collecting):
    async def emit(self, event):
        await asyncio.Event().wait()


def bus(*sinks, control=None, limit=100, wait=True):
    return EventBus("s", VirtualClock(EPOCH), sinks, control or Control(), limit=limit, wait=wait)


async def mark(events_bus, count=1):
    for _ in range(count):
        await events_bus.emit(events.Mark, at=0.0, label=None)


async def end(events_bus):
    await events_bus.emit(
        events.SessionEnded, duration=0.0, utterances=0, gaps=0, errors=0, reason="finished"
    )


@pytest.mark.parametrize(
    "error", [OSError(28, "No space left"), KeyError("x"), TypeError("y"), AssertionError()]
)
async def test_any_exception_of_a_sink_is_an_error_event_for_the_others(error):
    good, bad = Collecting(), Failing(error, after=1)
    async with bus(bad, good) as used:
        await mark(used, 3)
        await asyncio.sleep(0.01)
        await end(used)
    assert used.lost == ["sink failing"]
    assert good.types == ["mark", "mark", "mark", "error", "session_ended"]
    assert good.events[3].part == "sink failing"
    assert "gets no more events" in good.events[3].message
    assert [event.seq for event in good.events] == [0, 1, 2, 3, 4]
    assert good.left
    assert bad.left


async def test_a_sink_that_cannot_deliver_its_last_is_lost_and_the_others_are_closed():
    good, bad = Collecting(), Failing(None, leaving=OSError("disk"))
    async with bus(good, bad) as used:
        await end(used)
    assert used.lost == ["sink failing"]
    assert good.types == ["session_ended"]
    assert good.left


async def test_a_sink_that_cannot_be_opened_is_the_users_error_and_closes_the_others():
    class Shut(Sink):
        async def __aenter__(self):
            raise UserError("no such folder")

    good = Collecting()
    with pytest.raises(UserError, match="no such folder"):
        await bus(good, Shut()).__aenter__()
    assert good.left


async def test_the_conversation_stops_when_its_last_sink_is_lost():
    class Watching(Collecting):
        delivers = False

    control = Control()
    async with bus(Failing(OSError()), Failing(OSError(), 2), Watching(), control=control) as used:
        await mark(used)
        await asyncio.sleep(0.01)
        assert control.stopped is None
        await mark(used)
        await asyncio.sleep(0.01)
        assert control.stopped == "failed"


async def test_numbers_follow_the_order_in_which_events_leave():
    slow, fast = Collecting(), Collecting()
    async with bus(slow, fast, limit=1) as used, asyncio.TaskGroup() as group:
        for _ in range(20):
            group.create_task(mark(used, 5))
    for sink in (slow, fast):
        assert [event.seq for event in sink.events] == [*range(100)]


async def test_live_audio_does_not_wait_for_a_slow_sink_and_the_loss_is_counted():
    class Slow(Collecting):
        async def emit(self, event):
            await gate.wait()
            await super().emit(event)

    gate, slow = asyncio.Event(), Slow()
    async with bus(slow, limit=2, wait=False) as used:
        await mark(used, 10)
        gate.set()
        await asyncio.sleep(0.01)
        await end(used)
    lost = next(event for event in slow.events if event.type == "error")
    assert "8 events were dropped" in lost.message
    assert used.lost == []


async def test_a_stuck_sink_does_not_keep_an_interrupted_conversation_from_ending():
    control, good, stuck = Control(), Collecting(), Stuck()
    began = asyncio.get_running_loop().time()
    async with bus(stuck, good, control=control, limit=2) as used:
        asyncio.get_running_loop().call_later(0.05, control.stop, "interrupted")
        await mark(used, 10)  # more than the stuck sink has room for
        await end(used)
    assert asyncio.get_running_loop().time() - began < 1.9
    assert good.types[-1] == "session_ended"
    assert used.lost == ["sink stuck"]


async def test_a_signal_while_sinks_finish_bounds_the_wait():
    control, stuck = Control(), Stuck()
    async with bus(stuck, control=control) as used:
        await end(used)
        asyncio.get_running_loop().call_later(0.05, control.stop, "terminated")
    assert used.lost == ["sink stuck"]


async def test_names_that_are_not_utf8_are_made_safe():
    good = Collecting()
    async with bus(good) as used:
        await used.emit(events.Mark, at=0.0, label="caf\udce9")
    assert good.events[0].label == "caf?"
    good.events[0].to_json()

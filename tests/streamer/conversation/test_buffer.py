"""Live audio is taken at once, bounded, and never lost silently; any source can be stopped."""

import asyncio
from itertools import pairwise

import numpy as np
import pytest

from streamer.audio import AudioChunk, Gap
from streamer.clock import VirtualClock
from streamer.control import Control, LiveStatus
from streamer.conversation.buffer import LiveBuffer, read_until_stopped
from streamer.conversation.load import LoadPolicy
from streamer.errors import SourceError
from streamer.sources import SourceInfo


class Microphone:
    """A source of two channels that delivers on demand."""

    info = SourceInfo("microphone", ("a", "b"), live=True, session="s")

    def __init__(self):
        self.items = asyncio.Queue()
        self.position = {0: 0, 1: 0}

    def speak(self, seconds, channel=0, level=0.5):
        for _ in range(round(seconds * 10)):
            start = self.position[channel]
            self.items.put_nowait(AudioChunk(channel, start, np.full(1600, level, np.float32)))
            self.position[channel] += 1600

    def __aiter__(self):
        return self

    async def __anext__(self):
        item = await self.items.get()
        if item is None:
            raise StopAsyncIteration
        if isinstance(item, Exception):
            raise item
        return item


class Buffered:
    """A live buffer in front of a microphone, and what steers and shows it."""

    def __init__(self, max_lag=5.0, duration=None):
        self.source = Microphone()
        self.clock = VirtualClock()
        self.control = Control(duration=duration)
        self.status = LiveStatus()
        policy = LoadPolicy(max_lag, self.status)
        self.buffer = LiveBuffer(self.source, self.clock, self.control, self.status, policy)

    def end(self):
        self.source.items.put_nowait(None)

    async def rest(self):
        return [item async for items in self.buffer for item in items]


async def settle():
    for _ in range(200):
        await asyncio.sleep(0)


async def test_stamps_capture_time_and_keeps_the_status():
    live = Buffered()
    live.source.speak(0.3)
    live.end()
    items = await live.rest()
    assert [item.start for item in items] == [0, 1600, 3200]
    assert {item.captured for item in items} == {live.clock.seconds()}
    assert (live.status.position, live.status.lag, live.status.lost) == (4800, 0, 0)
    assert live.status.levels == {0: pytest.approx(0.5)}


async def test_yields_at_most_half_a_second_of_audio_at_a_time():
    live = Buffered()
    for channel in (0, 1):
        live.source.speak(0.7, channel)
    live.end()
    steps = [items async for items in live.buffer]
    assert [len(items) for items in steps] == [5, 5, 4]
    assert [(i.channel, i.start) for items in steps for i in items] == [
        (channel, start) for channel in (0, 1) for start in range(0, 11_200, 1600)
    ]


async def test_bounds_what_waits_and_reports_the_rest_as_gaps():
    live = Buffered(max_lag=2.0)
    live.source.speak(0.1)
    steps = aiter(live.buffer)
    items = [*await anext(steps)]
    lags = []
    for n in range(70):  # nothing is processed meanwhile
        await live.clock.sleep_until(n / 10)
        live.source.speak(0.1)
        await settle()
        lags.append(live.status.lag)
    live.end()
    items += [item async for few in steps for item in few]
    assert max(lags) <= 2
    gaps = [item for item in items if isinstance(item, Gap)]
    assert {gap.reason for gap in gaps} == {"behind"}
    assert all(a.end == b.start for a, b in pairwise(items))
    assert items[-1].end == live.source.position[0]
    lost = sum(gap.end - gap.start for gap in gaps)
    assert lost == pytest.approx(live.status.lost * 16_000)
    assert lost >= 5 * 16_000


async def test_audio_that_waited_before_the_start_is_no_lag():
    live = Buffered(max_lag=2.0)
    live.source.speak(4)  # while models were loaded
    steps = aiter(live.buffer)
    await anext(steps)
    await settle()
    assert live.status.lag == 0
    for n in range(1, 11):  # nothing is processed meanwhile
        await live.clock.sleep_until(n / 10)
        live.source.speak(0.1)
        await settle()
    assert live.status.lag == pytest.approx(1.0, abs=0.11)
    assert live.status.lost == 0
    live.end()
    items = [item async for few in steps for item in few]
    assert items[-1].end == live.source.position[0]


async def test_a_backlog_that_was_worked_off_excuses_no_later_lag():
    live = Buffered(max_lag=2.0)
    live.source.speak(4)
    steps = aiter(live.buffer)
    for _ in range(8):
        await anext(steps)
    await live.clock.sleep_until(4)
    waiting = asyncio.ensure_future(anext(steps))
    await settle()
    live.source.speak(1.5)
    await settle()
    await waiting
    assert live.status.lag == pytest.approx(1.5, abs=0.11)
    live.end()
    _ = [few async for few in steps]


async def test_a_pause_becomes_gaps_and_its_audio_is_discarded():
    live = Buffered()
    steps = aiter(live.buffer)
    live.source.speak(0.1)
    items = [*await anext(steps)]
    live.control.paused = True
    live.source.speak(1.0, level=0.9)
    await settle()
    assert live.status.paused
    assert live.status.levels[0] == 0
    items += await anext(steps)  # ends the utterance that was being spoken
    live.control.paused = False
    live.source.speak(0.1)
    live.end()
    items += [item async for few in steps for item in few]
    assert [(type(i), i.start, i.end) for i in items] == [
        (AudioChunk, 0, 1600),
        (Gap, 1600, 3200),
        (Gap, 3200, 17_600),
        (AudioChunk, 17_600, 19_200),
    ]
    assert {i.reason for i in items if isinstance(i, Gap)} == {"paused"}
    assert live.status.lost == 0
    assert not live.status.paused


async def test_a_pause_until_the_end_becomes_gaps():
    live = Buffered()
    live.control.paused = True
    live.source.speak(1.0)
    live.end()
    assert [(i.start, i.end) for i in await live.rest()] == [(0, 1600), (1600, 16_000)]


async def test_yields_all_audio_before_the_error_of_its_source():
    live = Buffered()
    live.source.speak(0.2)
    live.source.items.put_nowait(SourceError("cut off"))
    steps = aiter(live.buffer)
    assert [item.start for item in await anext(steps)] == [0, 1600]
    with pytest.raises(SourceError, match="cut off"):
        await anext(steps)


async def test_ends_after_its_duration():
    live = Buffered(duration=0.05)
    live.source.speak(0.1)
    assert len(await live.rest()) == 1


async def test_a_stop_ends_it_while_it_waits_for_audio():
    live = Buffered()
    steps = aiter(live.buffer)
    live.source.speak(0.1)
    await anext(steps)
    coming = asyncio.ensure_future(anext(steps))
    await settle()
    live.control.stop("interrupted")
    with pytest.raises(StopAsyncIteration):
        await coming


async def test_a_stop_while_audio_is_processed_ends_it_though_no_more_comes():
    live = Buffered()
    live.source.speak(0.1)
    async with asyncio.timeout(5):
        async for _ in live.buffer:
            await settle()
            live.control.stop()


async def test_a_stop_ends_a_recording_that_is_being_waited_for():
    source, control = Microphone(), Control()
    steps = read_until_stopped(source, control)
    source.speak(0.1)
    assert [item.start for item in await anext(steps)] == [0]
    asyncio.get_running_loop().call_soon(control.stop)
    with pytest.raises(StopAsyncIteration):
        await anext(steps)
    assert asyncio.current_task().cancelling() == 0


async def test_a_cancelled_reader_stays_cancelled():
    async def read():
        async for _ in read_until_stopped(Microphone(), Control()):
            pass

    task = asyncio.create_task(read())
    await settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

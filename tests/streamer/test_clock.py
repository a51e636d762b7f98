"""The virtual clock jumps; the wall clock is the world's; waiting for an event has a bound."""

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from streamer.clock import VirtualClock, WallClock, within


async def test_the_virtual_clock_passes_hours_at_once_and_never_goes_back():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = VirtualClock(start)
    await clock.sleep_until(7200)
    await clock.sleep_until(60)
    assert clock.seconds() == 7200
    assert clock.now() == start + timedelta(hours=2)


async def test_the_wall_clock_wakes_no_earlier_than_asked():
    clock = WallClock()
    until = clock.seconds() + 0.02
    await clock.sleep_until(until)
    assert clock.seconds() >= until
    assert clock.now().tzinfo is UTC


@pytest.mark.parametrize("kind", [VirtualClock, WallClock])
def test_a_recorded_conversation_has_its_own_time_and_none_in_the_future(kind):
    clock = kind()
    call = datetime(2026, 1, 1, 10, tzinfo=UTC)
    clock.begin(call, timedelta(minutes=5))
    assert clock.now() - call < timedelta(seconds=5)
    lately = datetime.now(UTC) - timedelta(minutes=1)
    clock.begin(lately, timedelta(minutes=5))
    assert clock.now() <= datetime.now(UTC) - timedelta(minutes=4)


async def test_a_replay_of_unknown_time_ends_now():
    clock = VirtualClock()
    clock.begin(None, timedelta(hours=2))
    begun = clock.now()
    await clock.sleep_until(7200)
    assert clock.now() - begun == pytest.approx(timedelta(hours=2), abs=timedelta(seconds=1))
    await clock.sleep_until(9000)
    assert clock.now() <= datetime.now(UTC)


@pytest.mark.parametrize("turns", range(4))
async def test_a_cancellation_counts_that_comes_with_what_is_waited_for(turns):
    event = asyncio.Event()
    waiting = asyncio.create_task(within(10.0, event))
    await asyncio.sleep(0.01)
    event.set()
    for _ in range(turns):
        await asyncio.sleep(0)
    if waiting.cancel():
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_says_whether_an_event_came_in_time():
    event = asyncio.Event()
    assert not await within(0.01, event)
    event.set()
    assert await within(10.0, event)

"""The virtual clock jumps; the wall clock is the world's."""

from datetime import UTC, datetime, timedelta

import pytest

from streamer.clock import VirtualClock, WallClock


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

"""The virtual clock jumps; the wall clock is the world's."""

from datetime import UTC, datetime, timedelta

from streamer.clock import VirtualClock, WallClock


async def test_the_virtual_clock_passes_hours_at_once_and_never_goes_back():
    start = datetime(2026, 1, 1, tzinfo=UTC)
    clock = VirtualClock(start)
    await clock.sleep_until(7200)
    await clock.sleep_until(60)
    assert clock.seconds() == 7200
    assert clock.now() == start + timedelta(hours=2)


async def test_the_wall_clock_wakes_no_earlier_than_told():
    clock = WallClock()
    until = clock.seconds() + 0.02
    await clock.sleep_until(until)
    assert clock.seconds() >= until
    assert clock.now().tzinfo is UTC

"""Steps of how busy workers are: taken one by one, and left only once what they spare fits in again."""

from streamer.runtime.pressure import BUSY, FULL, ROOM, Pressure


def steps(*shares, workers=2, seconds=2.0):
    """Give the step after each period in which workers were busy for a share of the time."""
    pressure, now, busy, found = Pressure(workers), 0.0, 0.0, []
    for share in shares:
        now, busy = now + seconds, busy + share * workers * seconds
        found.append(pressure.step(now, busy))
    return found


def test_rises_step_by_step_while_workers_are_always_busy():
    assert steps(0.8, 0.95, 0.95, 1.0) == [ROOM, BUSY, FULL, FULL]


def test_holds_a_step_until_what_it_spares_fits_in_again():
    assert steps(1.0, 1.0, 0.8, 0.7, 0.7, 0.6) == [BUSY, FULL, FULL, BUSY, BUSY, ROOM]


def test_changes_nothing_within_a_period():
    assert steps(1.0, 1.0, 1.0, seconds=0.5) == [ROOM] * 3


def test_is_over_after_a_long_rest():
    pressure = Pressure(1)
    for second in (2.0, 4.0, 6.0):
        pressure.step(second, second)
    assert pressure.step(60.0, 6.0) == ROOM

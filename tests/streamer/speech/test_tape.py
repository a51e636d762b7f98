import numpy as np
import pytest

from streamer.audio import FRAME
from streamer.speech.tape import Tape


def ramp(begin, end):
    return np.arange(begin, end, dtype=np.float32)


def test_gives_what_was_appended_under_its_place():
    tape = Tape(at=100)
    tape.append(ramp(100, 150))
    tape.append(ramp(150, 300))
    assert (tape.start, tape.end) == (100, 300)
    np.testing.assert_array_equal(tape.view(140, 160), ramp(140, 160))


@pytest.mark.parametrize("kept", [0, 480, 50_000])
def test_memory_follows_the_samples_kept(kept):
    tape = Tape()
    for begin in range(0, 2_000_000, 1000):
        tape.append(ramp(begin, begin + 1000))
        tape.discard(begin + 1000 - kept)
    assert tape.end - tape.start == kept
    np.testing.assert_array_equal(tape.copy(tape.start, tape.end), ramp(tape.start, tape.end))
    assert len(tape._data) <= max(32_768, 2 * (kept + 1000))


def test_gives_memory_back_after_much_was_kept():
    tape = Tape()
    tape.append(np.zeros(1_000_000, np.float32))
    tape.discard(999_000)
    for _ in range(100):
        tape.append(np.zeros(16_000, np.float32))
        tape.discard(tape.end)
    tape.append(np.ones(1_000_000, np.float32))
    tape.discard(tape.end)
    for _ in range(200):
        tape.append(np.zeros(16_000, np.float32))
        tape.discard(tape.end)
    assert len(tape._data) < 100_000


def test_a_copy_survives_what_comes_later():
    tape = Tape()
    tape.append(ramp(0, 100))
    copy = tape.copy(10, 20)
    tape.discard(100)
    tape.append(np.zeros(100_000, np.float32))
    np.testing.assert_array_equal(copy, ramp(10, 20))


def test_discarding_stays_within_the_tape():
    tape = Tape()
    tape.append(ramp(0, 100))
    tape.discard(-5)
    tape.discard(1000)
    assert (tape.start, tape.end) == (100, 100)


def test_restarts_elsewhere():
    tape = Tape()
    tape.append(ramp(0, 100))
    tape.restart(1000)
    tape.append(ramp(1000, 1010))
    assert (tape.start, tape.end) == (1000, 1010)
    np.testing.assert_array_equal(tape.view(1000, 1010), ramp(1000, 1010))


def test_finds_the_last_quietest_place():
    samples = np.ones(40 * FRAME, np.float32)
    samples[10 * FRAME : 14 * FRAME] = samples[20 * FRAME : 24 * FRAME] = 0.0
    tape = Tape(at=7 * FRAME)
    tape.append(samples)
    assert tape.quietest(10 * FRAME, 44 * FRAME) == (7 + 22) * FRAME

"""From a device's blocks to the conversation's audio: what is lost, and when each sample was spoken."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.audio import FRAME, AudioChunk, Gap
from streamer.sources.microphone.drift import LossDetector
from streamer.sources.microphone.ring import Block, Ring
from streamer.sources.microphone.timeline import Timeline
from streamer.sources.microphone.wakeup import WakeupGate

BLOCK = 0.03
MOVED = 0.015
"""Seconds by which a device's time may be moved to the grid of frames."""


def arrivals(losses, blocks, *, begin=100.0, late=lambda n: 0.0, broken=()):
    """Count blocks that arrive every 30 ms, some later; give the losses found."""
    return [
        losses.add(BLOCK, begin + (n + 1) * BLOCK + late(n), 0.0, broken=n in broken)
        for n in range(blocks)
    ]


@given(st.lists(st.floats(0, 0.4), min_size=1, max_size=100))
def test_lateness_that_passes_is_no_loss(delays):
    losses = LossDetector()
    late = [0.0, *delays, 0.0]
    delay = {n: late[n // 2] if n % 2 else 0.0 for n in range(2 * len(late))}
    assert not any(arrivals(losses, 2 * len(late), late=delay.get))


def test_samples_that_never_come_are_lost_even_if_the_device_says_nothing():
    losses = arrivals(LossDetector(), 200, late=lambda n: 3.0 if n >= 50 else 0.0)
    assert sum(losses) == pytest.approx(3.0, abs=0.01)
    assert losses.index(max(losses)) < 80


def test_a_small_loss_that_the_device_tells_is_believed():
    def lost(**reported):
        return sum(
            arrivals(LossDetector(), 200, late=lambda n: 0.02 if n >= 50 else 0.0, **reported)
        )

    assert lost(broken={50}) == pytest.approx(0.02, abs=0.005)
    assert lost() == 0


def test_a_slow_device_loses_nothing():
    losses = LossDetector()
    drift = 2e-4
    assert not any(arrivals(losses, 50_000, late=lambda n: n * BLOCK * drift))
    assert losses.latest == pytest.approx(100 + 50_000 * BLOCK * (1 + drift), abs=0.001)


def test_the_device_knows_how_old_its_samples_are():
    losses = LossDetector()
    losses.add(BLOCK, 10.2, 0.1, broken=False)
    assert losses.latest == pytest.approx(10.1)


def timeline(channels=1, rate=48_000, **options):
    given = {"epoch": 100.0, "position": 0, "reason": ""} | options
    return Timeline(range(channels), rate, **given)


def tone(seconds, rate, begin=0.0, channels=1):
    time = begin + np.arange(round(seconds * rate)) / rate
    one = 0.5 * np.sin(2 * np.pi * 440 * time).astype(np.float32)
    return np.repeat(one[:, None], channels, axis=1)


def blocks(samples, rate, *, begin=100.0, late=lambda n: 0.0):
    size = round(BLOCK * rate)
    for n in range(len(samples) // size):
        piece = samples[n * size : (n + 1) * size]
        yield Block(piece, begin + (n + 1) * BLOCK + late(n), 0.0, broken=False)


def delivered(timeline, blocks):
    items = [item for block in blocks for item in timeline.push(block)]
    return items + timeline.finish()


@pytest.mark.parametrize("rate", [8_000, 16_000, 44_100, 48_000, 96_000])
def test_any_rate_becomes_16_khz_without_a_seam(rate):
    moved, *chunks = delivered(timeline(rate=rate), blocks(tone(3, rate), rate))
    heard = np.concatenate([chunk.samples for chunk in chunks])
    lengths = [len(chunk.samples) for chunk in (moved, *chunks)]
    assert [c.start for c in (moved, *chunks)] == [0, *np.cumsum(lengths)[:-1]]
    assert not moved.samples.any()
    assert moved.end <= MOVED * 16_000
    assert len(heard) == pytest.approx(48_000, abs=800)
    expected = tone(3, 16_000)[:, 0]
    assert np.abs(heard - expected[: len(heard)])[500:-500].max() < 0.01


def test_every_sample_knows_when_it_was_spoken():
    moved, *chunks = delivered(timeline(), blocks(tone(2, 48_000), 48_000))
    for chunk in chunks:
        spoken = 100 + (chunk.end - moved.end) / 16_000
        assert chunk.captured == pytest.approx(spoken, abs=1e-3)


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
@pytest.mark.parametrize("begin", [100.0, 100.011, 100.029])
def test_frames_end_where_blocks_end(rate, begin):
    line, sound = timeline(rate=rate), tone(6, rate)
    late = {n: 1.007 if n >= 50 else 0.0 for n in range(200)}
    for block in blocks(sound, rate, begin=begin, late=late.get):
        line.push(block)
        assert line.position % FRAME == 0


def test_losses_are_told_however_short_and_time_keeps_to_the_clock():
    line, lost, gaps = timeline(), 0.0, []
    for n, block in enumerate(blocks(tone(120, 48_000), 48_000)):
        reported = n % 100 == 50
        lost += reported * (0.02 if n % 200 == 50 else 0.3)
        late = Block(block.samples, block.arrived + lost, 0.0, broken=reported)
        found = [item for item in line.push(late) if isinstance(item, Gap)]
        gaps += found
        if found:
            assert line.position / 16_000 == pytest.approx(late.arrived - 100, abs=2 * MOVED)
    assert len(gaps) == 40
    assert all(gap.end > gap.start for gap in gaps)


def test_a_pair_of_microphones_is_one_speaker_and_names_make_it_two():
    pair = tone(1, 48_000, channels=2) * np.float32([0.5, 1.0])
    (mixed,) = {item.channel for item in delivered(timeline(), blocks(pair, 48_000))}
    assert mixed == 0
    both = delivered(timeline(channels=2), blocks(pair, 48_000))
    loud = {c: max(np.abs(i.samples).max() for i in both if i.channel == c) for c in (0, 1)}
    assert loud[1] == pytest.approx(2 * loud[0], rel=0.01)


def test_lost_samples_are_a_gap_and_time_goes_on():
    items = delivered(
        timeline(), blocks(tone(6, 48_000), 48_000, late=lambda n: 2.0 if n >= 50 else 0.0)
    )
    (gap,) = [item for item in items if isinstance(item, Gap)]
    assert gap.end - gap.start == pytest.approx(2 * 16_000, abs=200)
    assert gap.reason == "overflow"
    ends = [item.end for item in items]
    assert [item.start for item in items] == [0, *ends[:-1]]
    after = next(i for i in items if isinstance(i, AudioChunk) and i.start >= gap.end)
    assert after.captured == pytest.approx(100 + after.end / 16_000, abs=MOVED)


def test_a_device_that_is_back_continues_after_a_gap_at_its_place_in_time():
    items = delivered(
        timeline(position=16_000, reason="interrupted"),
        blocks(tone(1, 48_000), 48_000, begin=105.0),
    )
    gap = items[0]
    assert (gap.start, gap.reason) == (16_000, "interrupted")
    assert gap.end == items[1].start == pytest.approx(80_000, abs=MOVED * 16_000)


def test_what_was_captured_before_the_conversation_is_left_out():
    items = delivered(timeline(), blocks(tone(2, 48_000), 48_000, begin=99.0))
    assert items[0].start == 0
    assert items[-1].end == pytest.approx(16_000, abs=800)


def test_a_short_start_is_silence_and_a_long_one_a_gap():
    soon = delivered(timeline(), blocks(tone(1, 48_000), 48_000, begin=100.5))
    assert not soon[0].samples.any()
    assert soon[0].end == pytest.approx(8_000, abs=MOVED * 16_000)
    late = delivered(timeline(), blocks(tone(1, 48_000), 48_000, begin=110.0))
    assert (late[0].start, late[0].reason) == (0, "absent")
    assert late[0].end == pytest.approx(160_000, abs=MOVED * 16_000)


def numbered(ring, numbers, *, size=4, broken=()):
    return [
        ring.write(np.full((size, 1), n, np.float32), n, 0.0, broken=n in broken) for n in numbers
    ]


def test_a_full_ring_drops_and_says_where():
    ring = Ring(blocks=3, size=4, channels=1)
    assert numbered(ring, range(5)) == [True, True, True, False, False]
    assert list(ring.read().samples[::4, 0]) == [0, 1, 2]
    assert ring.read() is None
    numbered(ring, [9], size=2)
    after = ring.read()
    assert (after.broken, len(after.samples), after.arrived) == (True, 2, 9)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.booleans()), max_size=60),
    st.lists(st.integers(1, 7), min_size=1, max_size=20),
)
def test_what_waits_in_a_ring_is_read_in_order_and_breaks_stay_where_they_are(blocks, portions):
    ring = Ring(blocks=7, size=4, channels=1)
    expected, read = [], []
    count, waiting = 0, iter(blocks)
    for portion in portions * 10:
        for length, broken in [b for _, b in zip(range(portion), waiting, strict=False)]:
            samples = np.arange(count, count + length, dtype=np.float32)
            assert ring.write(samples[:, None], count + length, 0.0, broken=broken)
            expected += [(value, broken and value == count) for value in samples]
            count += length
        while block := ring.read():
            values = block.samples[:, 0]
            assert block.arrived == values[-1] + 1
            read += [(value, block.broken and value == values[0]) for value in values]
    assert read == expected


def heeded(levels):
    gate, generator = WakeupGate(), np.random.default_rng(0)
    return [gate.wakes(generator.normal(0, level, (480, 2)).astype(np.float32)) for level in levels]


@pytest.mark.parametrize("room", [0.0, 0.001, 0.05])
def test_silence_wakes_nobody_for_each_block_and_a_sound_does_so_at_once(room):
    woken = heeded([room] * 400 + [room + 0.1] + [room] * 30)
    assert sum(woken[200:400]) == 50
    assert max(np.diff(np.flatnonzero(woken))) == 4
    assert all(woken[400:])


def test_last_bits_that_flutter_wake_nobody():
    woken = heeded([0.0, 0.0, 1e-5] * 200)
    assert sum(woken[200:]) == 100


def test_whoever_speaks_is_attended_to_until_long_after():
    syllables = [0.001] * 300 + 100 * [0.1, 0.1, 0.02, 0.01, 0.003] + [0.001] * 40
    assert all(heeded(syllables)[300:])

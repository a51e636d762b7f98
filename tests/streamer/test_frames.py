"""The order of frames depends on the audio alone, not on how it was cut."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from streamer.frames import FrameOrder
from streamer.sources import AudioChunk, Gap
from streamer.units import FRAME


def cut(signal, sizes):
    """The signal in chunks whose lengths repeat `sizes`."""
    start, index = 0, 0
    while start < len(signal):
        size = sizes[index % len(sizes)]
        yield start, signal[start : start + size]
        start, index = start + size, index + 1


def ordered(signals, sizes):
    order = FrameOrder(len(signals), wait=True)
    chunks = [
        AudioChunk(channel, start, samples)
        for channel, signal in enumerate(signals)
        for start, samples in cut(signal, sizes)
    ]
    pieces = [
        piece for chunk in sorted(chunks, key=lambda c: c.start) for piece in order.push(chunk)
    ]
    return pieces + list(order.flush())


@given(
    length=st.integers(0, 5000),
    channels=st.integers(1, 3),
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=5),
)
def test_any_chunks_give_the_same_frames(length, channels, sizes):
    signals = [np.arange(length, dtype=np.float32) + 10_000 * c for c in range(channels)]
    pieces = ordered(signals, sizes)
    whole = ordered(signals, [max(length, 1)])
    assert [(p.channel, p.start) for p in pieces] == [(p.channel, p.start) for p in whole]
    for channel, signal in enumerate(signals):
        mine = [p.samples for p in pieces if p.channel == channel]
        assert np.array_equal(np.concatenate([*mine, np.zeros(0, np.float32)]), signal)


@given(length=st.integers(0, 3000), sizes=st.lists(st.integers(1, 700), min_size=1, max_size=4))
def test_frames_come_in_the_order_of_time_and_are_whole_but_for_the_last(length, sizes):
    pieces = ordered([np.zeros(length, np.float32)] * 2, sizes)
    keys = [(p.start, p.channel) for p in pieces]
    assert keys == sorted(keys)
    assert all(p.start % FRAME == 0 for p in pieces)
    assert all(len(p.samples) == FRAME or p.end == length for p in pieces)


def test_a_gap_stands_where_it_happened_and_time_goes_on_behind_it():
    order = FrameOrder(1, wait=True)
    pieces = list(order.push(AudioChunk(0, 0, np.zeros(500, np.float32))))
    pieces += order.push(Gap(0, 500, 1300, "unplugged"))
    pieces += order.push(AudioChunk(0, 1300, np.zeros(200, np.float32)))
    pieces += order.flush()
    assert [(type(p).__name__, p.start, p.end) for p in pieces] == [
        ("AudioChunk", 0, 480),
        ("AudioChunk", 480, 500),
        ("Gap", 500, 1300),
        ("AudioChunk", 1300, 1440),
        ("AudioChunk", 1440, 1500),
    ]


def test_a_recordings_channels_wait_for_each_other_and_live_ones_do_not():
    one_second = AudioChunk(0, 0, np.zeros(16_000, np.float32))
    assert len(list(FrameOrder(2, wait=True).push(one_second))) == 1
    assert len(list(FrameOrder(2, wait=False).push(one_second))) == 33

"""The order of frames depends on the audio alone, not on how it was cut."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio import FRAME, SAMPLE_RATE, AudioChunk, Gap
from streamer.speech.frames import GATHERED, FrameOrder, row_of


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
    batches = []
    for chunk in sorted(chunks, key=lambda c: c.start):
        order.push(chunk)
        due = order.is_due([0] * len(signals))
        batches.append(order.take())
        assert due == bool(batches[-1])
    return [*batches, order.take(closed=True)]


def rows(batches):
    """The frames and gaps, row by row, as they come batch by batch."""
    for batch in batches:
        yield from sorted(
            (row_of(start), piece.channel, start, min(start + FRAME, piece.end))
            for piece in batch
            for start in range(piece.start, piece.end, FRAME)
        )


@given(
    length=st.integers(0, 5000),
    channels=st.integers(1, 3),
    sizes=st.lists(st.integers(1, 2000), min_size=1, max_size=5),
)
@settings(deadline=None)
def test_any_chunks_give_the_same_frames(length, channels, sizes):
    signals = [np.arange(length, dtype=np.float32) + 10_000 * c for c in range(channels)]
    batches = ordered(signals, sizes)
    assert list(rows(batches)) == list(rows(ordered(signals, [max(length, 1)])))
    for channel, signal in enumerate(signals):
        mine = [p.samples for batch in batches for p in batch if p.channel == channel]
        assert np.array_equal(np.concatenate([*mine, np.zeros(0, np.float32)]), signal)


@given(length=st.integers(0, 3000), sizes=st.lists(st.integers(1, 700), min_size=1, max_size=4))
@settings(deadline=None)
def test_rows_come_in_the_order_of_time_and_their_frames_are_whole_but_for_the_last(length, sizes):
    batches = ordered([np.zeros(length, np.float32)] * 2, sizes)
    taken = list(rows(batches))
    assert taken == sorted(taken)
    assert all(start % FRAME == 0 for *_, start, _ in taken)
    assert all(end - start == FRAME or end == length for *_, start, end in taken)


def test_a_gap_stands_where_it_happened_and_time_goes_on_behind_it():
    order = FrameOrder(1, wait=True)
    order.push(AudioChunk(0, 0, np.zeros(500, np.float32)))
    pieces = order.take()
    order.push(Gap(0, 500, 1300, "unplugged"))
    pieces += order.take()
    order.push(AudioChunk(0, 1300, np.zeros(200, np.float32)))
    pieces += order.take(closed=True)
    assert [(type(p).__name__, p.start, p.end) for p in pieces] == [
        ("AudioChunk", 0, 480),
        ("AudioChunk", 480, 500),
        ("Gap", 500, 1300),
        ("AudioChunk", 1300, 1500),
    ]


def test_a_recordings_channels_wait_for_each_other_and_live_ones_do_not():
    for wait, length in ((True, None), (False, 33 * FRAME)):
        order = FrameOrder(2, wait=wait)
        order.push(AudioChunk(0, 0, np.zeros(16_000, np.float32)))
        assert order.is_due([0, 0]) == (not wait)
        assert [len(piece.samples) for piece in order.take()] == ([length] if length else [])


def test_is_due_once_an_event_is_possible_or_audio_was_lost():
    order = FrameOrder(1, wait=True)
    order.push(AudioChunk(0, 0, np.zeros(3 * FRAME + 5, np.float32)))
    assert order.is_due([3 * FRAME])
    assert not order.is_due([3 * FRAME + 1])
    order.push(Gap(0, 3 * FRAME + 5, 5 * FRAME, "lost"))
    assert order.is_due([9 * FRAME])
    order.take()
    assert order.positions == [5 * FRAME]
    order.push(AudioChunk(0, 5 * FRAME, np.zeros(FRAME, np.float32)))
    assert not order.is_due([9 * FRAME])


def test_is_due_after_a_quarter_of_a_second_even_if_no_event_is_possible():
    order = FrameOrder(1, wait=True)
    order.push(AudioChunk(0, 0, np.zeros(GATHERED, np.float32)))
    assert not order.is_due([SAMPLE_RATE])  # a frame is not complete
    order.push(AudioChunk(0, GATHERED, np.zeros(FRAME, np.float32)))
    assert order.is_due([SAMPLE_RATE])

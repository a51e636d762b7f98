"""What holds for any audio, however it is cut into chunks."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer.audio import AudioChunk
from streamer.settings.tree import Segmentation
from streamer.speech.segmenter import Segmenter
from streamer.speech.smoothing import Smoothed
from tests.streamer.speech.speech import PeakDetector, audio, check_lifecycle, listen, plain

SHORT = Segmentation(
    end_silence=0.3, pause=0.09, min_speech=0.09, max_utterance=2.0, split_search=0.9, pre_roll=0.2
)

EXTREMES = (
    {"end_silence": 0.06, "pause": 0.03, "tail": 0.5, "pre_roll": 0.0, "min_speech": 0.03},
    {"threshold": 0.05, "hysteresis": 0.03, "min_speech": 0.03},
    {"pre_roll": 0.0, "tail": 0.0},
)

levels = st.lists(
    st.tuples(
        st.integers(1, 900).map(lambda ms: ms / 1000),
        st.sampled_from([0.0, 0.01, 0.3, 0.4, 0.5, 0.7, 0.9]),
    ),
    min_size=1,
    max_size=25,
)
sizes = st.lists(
    st.one_of(st.integers(1, 1000), st.integers(1, 160_000)), min_size=1, max_size=20
).filter(
    lambda drawn: sum(drawn) >= 100 * len(drawn)  # many tiny chunks: see single samples
)

detectors = pytest.mark.parametrize(
    "detector", [PeakDetector, lambda: Smoothed(PeakDetector())], ids=["alone", "smoothed"]
)


def cut(detector, samples, chunk_sizes, start=0, settings=SHORT):
    return listen(Segmenter(detector(), settings, 0), samples, chunk_sizes, start=start)


@detectors
@given(levels, sizes)
@settings(max_examples=100, deadline=None)
def test_chunk_sizes_do_not_matter(detector, parts, chunk_sizes):
    samples = audio(*parts)
    whole = plain(cut(detector, samples, [len(samples)]))
    assert plain(cut(detector, samples, chunk_sizes)) == whole


@detectors
@given(levels)
@settings(max_examples=5, deadline=None)
def test_single_samples_are_chunks_too(detector, parts):
    samples = audio(*parts[:5])
    assert plain(cut(detector, samples, [1])) == plain(cut(detector, samples, [160_000]))


@detectors
@given(levels, st.integers(0, 100_000), st.sampled_from([{}, *EXTREMES]))
@settings(max_examples=150, deadline=None)
def test_every_utterance_is_complete_and_reported_once(detector, parts, start, extreme):
    samples = audio(*parts)
    settings = SHORT.model_copy(update=extreme)
    check_lifecycle(cut(detector, samples, [777], start, settings), samples, settings, start=start)


@detectors
@given(levels, st.floats(0, 1), levels)
@settings(max_examples=100, deadline=None)
def test_the_future_does_not_change_the_past(detector, parts, share, other):
    samples = audio(*parts)
    now = int(share * len(samples))
    altered = np.concatenate((samples[:now], audio(*other)))
    past = [
        [e for e in plain_with_time(cut(detector, x, [480])) if e[0] <= now]
        for x in (samples, altered)
    ]
    shorter = min(len(samples), len(altered))
    if now < shorter:  # what happens at the very end of the audio is its end's doing
        assert past[0] == past[1]


def plain_with_time(events):
    return [(event.at, fields) for event, fields in zip(events, plain(events), strict=True)]


@detectors
@given(st.lists(st.tuples(levels, st.integers(0, 20_000)), min_size=1, max_size=4), sizes)
@settings(max_examples=50, deadline=None)
def test_gaps_cut_the_audio_into_conversations_of_their_own(detector, stretches, chunk_sizes):
    segmenter = Segmenter(detector(), SHORT, 0)
    position = 0
    for parts, lost in stretches:
        samples = audio(*parts)
        events = []
        offset = 0
        for size in [*chunk_sizes, len(samples)]:
            piece = samples[offset : offset + size]
            events.extend(segmenter.push(AudioChunk(0, position + offset, piece)))
            offset += len(piece)
        events.extend(segmenter.gap(position + len(samples), position + len(samples) + lost))
        check_lifecycle(events, samples, SHORT, start=position)
        if position % 480 == 0:
            assert len(events) == len(cut(detector, samples, [480]))
        position += len(samples) + lost


@given(levels, st.integers(1, 3000))
@settings(deadline=None)
def test_no_event_comes_earlier_than_announced(parts, size):
    segmenter = Segmenter(PeakDetector(), SHORT, 0)
    samples = audio(*parts)
    for start in range(0, len(samples), size):
        announced = segmenter.next_event
        for event in segmenter.push(AudioChunk(0, start, samples[start : start + size])):
            assert event.at >= announced
            announced = event.at

"""16-bit PCM and floating point convert into each other without surprises."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamer.audio import AudioChunk, from_pcm16, to_pcm16, to_samples, to_seconds


@given(arrays(np.int16, st.integers(0, 50)))
def test_pcm_survives_the_round_trip(pcm):
    samples = from_pcm16(pcm)
    assert samples.dtype == np.float32
    assert np.array_equal(to_pcm16(samples), pcm)


def test_clips_to_full_scale_and_rounds_to_nearest():
    samples = np.array([-2.0, -1.0, 1.0, 2.0, 1.6 / 32_768], np.float32)
    assert to_pcm16(samples).tolist() == [-32_768, -32_768, 32_767, 32_767, 2]


def test_converts_any_shape():
    assert to_pcm16(from_pcm16(np.zeros((3, 2), np.int16))).shape == (3, 2)


def test_times_convert_to_whole_samples_and_milliseconds():
    assert to_samples(0.03) == 480
    assert to_seconds(479) == 0.03


def test_a_chunk_ends_after_its_last_sample():
    assert AudioChunk(0, 100, np.zeros(60, np.float32)).end == 160

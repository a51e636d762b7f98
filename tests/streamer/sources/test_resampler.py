"""Any rate to 16 kHz: as clean as soxr, whatever the pieces, and never far behind."""

import numpy as np
import pytest
import soxr
from hypothesis import given
from hypothesis import strategies as st

from streamer.sources.resampler import Resampler

RATES = [8_000, 11_025, 16_000, 22_050, 44_100, 48_000, 96_000, 192_000]


def noise(count, channels=1, seed=0):
    return np.random.default_rng(seed).normal(0, 0.2, (count, channels)).astype(np.float32)


def whole(signal, rate):
    return Resampler(rate, signal.shape[1]).push(signal, last=True)


@given(
    rate=st.sampled_from(RATES),
    sizes=st.lists(st.integers(0, 700), min_size=1, max_size=8),
    channels=st.integers(1, 2),
)
def test_pieces_give_what_the_whole_gives(rate, sizes, channels):
    signal = noise(sum(sizes), channels)
    resampler, made, first = Resampler(rate, channels), [], 0
    for size in sizes:
        made.append(resampler.push(signal[first : first + size]))
        first += size
    made.append(resampler.push(signal[:0], last=True))
    np.testing.assert_allclose(np.concatenate(made), whole(signal, rate), atol=1e-6)


@pytest.mark.parametrize("rate", RATES)
def test_it_has_as_many_samples_as_time_demands_and_is_at_most_2_ms_behind(rate):
    resampler, taken, made = Resampler(rate, 1), 0, 0
    for _ in range(50):
        piece = noise(round(rate * 0.03))
        taken += len(piece)
        made += len(resampler.push(piece))
        behind = taken / rate - made / 16_000
        assert 0 <= behind <= 0.0045 if rate < 16_000 else behind <= 0.002
    made += len(resampler.push(noise(0), last=True))
    assert made == -(-taken * 16_000 // rate)


@pytest.mark.parametrize("rate", [rate for rate in RATES if rate != 16_000])
@pytest.mark.parametrize("frequency", [50, 440, 3_000])
def test_tones_keep_their_pitch_level_and_phase(rate, frequency):
    time = np.arange(rate) / rate
    signal = np.sin(2 * np.pi * frequency * time).astype(np.float32)[:, None]
    made = whole(signal, rate)[:, 0]
    expected = np.sin(2 * np.pi * frequency * np.arange(len(made)) / 16_000)
    assert np.abs(made - expected)[200:-200].max() < 1e-3


@pytest.mark.parametrize("rate", [22_050, 44_100, 48_000, 96_000])
def test_what_16_khz_cannot_hold_is_gone(rate):
    tone = np.sin(2 * np.pi * 9_500 * np.arange(rate) / rate).astype(np.float32)[:, None]
    assert np.abs(whole(tone, rate)[200:-200]).max() < 1e-3


@pytest.mark.parametrize("rate", [44_100, 48_000])
def test_speech_bands_agree_with_soxr(rate):
    signal = soxr.resample(noise(8_000)[:, 0], 8_000, rate).astype(np.float32)[:, None]
    ours = whole(signal, rate)
    theirs = soxr.resample(signal, rate, 16_000)
    length = min(len(ours), len(theirs))
    assert np.abs(ours[:length] - theirs[:length])[200:-200].max() < 2e-3

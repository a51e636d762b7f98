"""Acoustics of an utterance: against signals whose loudness, pitch and pauses are known."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from streamer.speech.acoustics import measure, pitch_contour, words_per_minute

RATE = 16_000


def voice(pitch, seconds=1.5, noise=0.003, wobble=0.02, seed=0):
    """A synthetic vowel: harmonics that fall off, a little vibrato, a little noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(int(RATE * seconds)) / RATE
    phase = 2 * np.pi * np.cumsum(pitch * (1 + wobble * np.sin(2 * np.pi * 5 * t))) / RATE
    harmonics = range(1, int(3800 / np.max(pitch)))
    sound = sum(np.sin(k * phase + rng.uniform(0, 6)) / k**1.2 for k in harmonics)
    return (0.1 * sound + noise * rng.standard_normal(len(t))).astype(np.float32)


def silence(seconds):
    return np.zeros(int(RATE * seconds), np.float32)


@pytest.mark.parametrize("pitch", [75, 90, 110, 140, 180, 220, 280, 350, 420])
def test_pitch_of_synthetic_voices_is_within_one_percent(pitch):
    assert measure(voice(pitch)).pitch_hz == pytest.approx(pitch, rel=0.01)


def test_pitch_does_not_depend_on_loudness():
    quiet, loud = measure(0.01 * voice(150, noise=0)), measure(voice(150, noise=0))
    assert quiet.pitch_hz == loud.pitch_hz


def test_a_glide_of_an_octave_has_a_range_of_eight_tenths_of_it():
    glide = 120 * 2 ** np.linspace(0, 1, 3 * RATE)
    assert measure(voice(glide, 3.0, wobble=0)).pitch_range == pytest.approx(0.8 * 12, abs=0.4)


@pytest.mark.parametrize("sound", [silence(1), silence(0), silence(0.01)], ids=len)
def test_nothing_is_measured_of_silence(sound):
    acoustics = measure(sound)
    assert (acoustics.loudness_db, acoustics.pitch_hz, acoustics.pause_ratio) == (None, None, None)


def test_noise_has_a_level_but_no_pitch():
    noise = 0.1 * np.random.default_rng(1).standard_normal(RATE).astype(np.float32)
    acoustics = measure(noise)
    assert acoustics.pitch_hz is None
    assert acoustics.loudness_db == pytest.approx(-20, abs=0.2)


def test_loudness_is_the_level_of_the_speech_without_the_silence_around_it():
    tone = np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE).astype(np.float32)
    padded = np.concatenate([silence(1), tone, silence(1)])
    assert measure(padded).loudness_db == pytest.approx(20 * math.log10(1 / math.sqrt(2)), abs=0.1)


def test_pauses_are_counted_between_the_ends_of_the_speech():
    speech = np.concatenate([silence(0.5), voice(120, 1), silence(1), voice(120, 2), silence(0.7)])
    assert measure(speech).pause_ratio == pytest.approx(1 / 4, abs=0.02)


def test_a_stop_of_a_tenth_of_a_second_is_no_pause():
    assert measure(np.concatenate([voice(120, 1), silence(0.1), voice(120, 1)])).pause_ratio == 0


def test_speaking_rate_is_words_over_minutes():
    assert words_per_minute("my parcel has not arrived", 1.5) == 200.0
    assert words_per_minute("", 1.5) is None


def plain_pitch(samples):
    """A second way to the median pitch: the peak of the normalised autocorrelation, frame by frame."""
    found = []
    for start in range(0, len(samples) - 1024, 640):
        frame = samples[start : start + 1024].astype(np.float64)
        frame = frame - frame.mean()
        lags = np.arange(32, 267)
        scores = [
            frame[:-lag]
            @ frame[lag:]
            / math.sqrt((frame[:-lag] @ frame[:-lag]) * (frame[lag:] @ frame[lag:]) + 1e-9)
            for lag in lags
        ]
        best = max(scores)
        if best > 0.85:
            first = next(index for index, score in enumerate(scores) if score > 0.95 * best)
            peak = first + int(np.argmax(scores[first : first + 8]))
            found.append(RATE / lags[peak])
    return float(np.median(found)) if len(found) > 3 else None


@given(st.floats(80, 400))
def test_two_ways_to_the_pitch_agree(pitch):
    sound = voice(pitch, 0.6)
    assert measure(sound).pitch_hz == pytest.approx(plain_pitch(sound), rel=0.03)


@given(arrays(np.float32, st.integers(0, 4000), elements=st.floats(-1, 1, width=32)))
def test_whatever_the_samples_the_figures_are_within_their_bounds(samples):
    acoustics = measure(samples)
    assert type(acoustics).model_validate(acoustics.model_dump()) == acoustics
    assert ((pitch_contour(samples) > 55) & (pitch_contour(samples) < 600)).all()

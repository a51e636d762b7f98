"""Each effect does what its name says, and the chain depends on nothing but its key."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tools.data.augmentation import (
    Augmentation,
    add_noise,
    change_speed,
    clip_peaks,
    crop,
    gain,
    lose_packets,
    reverberate,
    speech_level,
    synthetic_room,
    telephone,
)

RATE = 16_000


def noise(seconds=1.0, level=0.1, seed=0):
    return (level * np.random.default_rng(seed).standard_normal(int(seconds * RATE))).astype(
        np.float32
    )


def tone(hertz, seconds=1.0, amplitude=0.3):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * RATE)) / RATE)).astype(
        np.float32
    )


def band_db(wave, low, high):
    power = np.abs(np.fft.rfft(wave)) ** 2
    hertz = np.fft.rfftfreq(len(wave), 1 / RATE)
    return 10 * np.log10(power[(hertz >= low) & (hertz < high)].mean() + 1e-20)


def test_gain_is_in_decibels():
    assert np.allclose(gain(tone(300), 20.0), 10 * tone(300), rtol=1e-5)


def test_clipping_lowers_the_peak_and_spares_the_rest():
    wave = tone(300)
    clipped = clip_peaks(wave, 6.0)
    limit = np.abs(wave).max() * 10 ** (-6 / 20)
    assert np.abs(clipped).max() == pytest.approx(limit, rel=1e-5)
    quiet = np.abs(wave) < limit
    assert np.array_equal(clipped[quiet], wave[quiet])


@pytest.mark.parametrize("factor", [0.9, 1.1])
def test_speed_changes_length_and_pitch(factor):
    faster = change_speed(tone(1000.0), factor)
    assert len(faster) == pytest.approx(RATE / factor, rel=0.01)
    peak = np.abs(np.fft.rfft(faster)).argmax() * RATE / len(faster)
    assert peak == pytest.approx(1000 * factor, rel=0.01)


@pytest.mark.parametrize("snr", [0.0, 10.0, 30.0])
def test_noise_is_as_far_below_the_speech_as_asked(snr):
    wave = np.concatenate((tone(300), np.zeros(RATE, np.float32)))  # half of it a pause
    added = add_noise(wave, noise(0.3), snr, start=123) - wave
    measured = 20 * np.log10(speech_level(wave) / np.sqrt(np.mean(added**2)))
    assert measured == pytest.approx(snr, abs=0.1)


def test_a_room_adds_a_tail_but_neither_delay_nor_loudness():
    wave = np.zeros(RATE, np.float32)
    wave[1000] = 1.0
    room = np.concatenate(
        (np.zeros(200, np.float32), synthetic_room(0.4, np.random.default_rng(0)))
    )
    wet = reverberate(wave, room, 6.0)
    assert np.abs(wet).argmax() == 1000
    assert len(wet) == len(wave)
    assert np.sqrt(np.mean(wet**2)) == pytest.approx(np.sqrt(np.mean(wave**2)), rel=1e-3)
    direct, tail = (wet[1000:1040] ** 2).sum(), (wet[1040:] ** 2).sum()
    assert 10 * np.log10(direct / tail) == pytest.approx(6.0, abs=0.5)


def test_a_telephone_passes_its_band_only():
    white = noise(2.0)
    heard = telephone(white)
    assert len(heard) == len(white)
    assert band_db(heard, 500, 3000) == pytest.approx(band_db(white, 500, 3000), abs=2.0)
    assert band_db(heard, 4200, 8000) < band_db(white, 4200, 8000) - 30
    assert band_db(heard, 0, 100) < band_db(white, 0, 100) - 20


def test_lost_packets_are_as_many_as_asked():
    wave = tone(440, seconds=60.0)
    heard = lose_packets(wave, 0.2, 8000.0, np.random.default_rng(1))
    packets = slice(320, 320 + (len(wave) - 640) // 320 * 320)
    changed = (wave[packets] != heard[packets]).reshape(-1, 320)[:, 100:].any(axis=1)
    assert changed.mean() == pytest.approx(0.2, abs=0.05)
    assert np.array_equal(lose_packets(wave, 0.0, 8000.0, np.random.default_rng(1)), wave)


def test_a_narrow_band_call_has_no_high_sounds():
    white = noise(2.0)
    heard = lose_packets(white, 0.0, 4000.0, np.random.default_rng(0))
    assert band_db(heard, 5000, 8000) < band_db(white, 5000, 8000) - 20


def test_a_crop_is_a_stretch_of_the_clip():
    wave = np.arange(1000, dtype=np.float32)
    part = crop(wave, 300, np.random.default_rng(0))
    assert len(part) == 300
    assert np.array_equal(part, wave[int(part[0]) :][:300])
    assert crop(wave, 2000, np.random.default_rng(0)) is wave


def test_a_key_gives_one_version_and_another_key_another():
    augment = Augmentation([noise(seed=5)], [synthetic_room(0.3, np.random.default_rng(0))], seed=1)
    again = Augmentation([noise(seed=5)], [synthetic_room(0.3, np.random.default_rng(0))], seed=1)
    other = Augmentation([noise(seed=5)], [synthetic_room(0.3, np.random.default_rng(0))], seed=2)
    wave = tone(300, 2.0)
    first = augment(wave, epoch=0, clip=7)
    augment(wave, epoch=1, clip=7)
    assert np.array_equal(first, augment(wave, epoch=0, clip=7))
    assert np.array_equal(first, again(wave, epoch=0, clip=7))
    for different in (
        other(wave, epoch=0, clip=7),
        augment(wave, epoch=1, clip=7),
        augment(wave, epoch=0, clip=8),
    ):
        assert not np.array_equal(first, different)


@given(
    length=st.integers(0, 40_000),
    level=st.sampled_from([0.0, 1e-6, 0.1, 1.0]),
    epoch=st.integers(0, 1000),
)
@example(length=0, level=0.1, epoch=0)
@example(length=1, level=1.0, epoch=0)
@settings(max_examples=100, deadline=None)
def test_any_clip_comes_out_finite_and_within_range(length, level, epoch):
    augment = Augmentation([noise(0.2, seed=5)], [synthetic_room(0.2, np.random.default_rng(0))])
    heard = augment(noise(3.0, level)[:length], epoch=epoch, clip=0)
    assert heard.dtype == np.float32
    assert np.isfinite(heard).all()
    assert np.abs(heard).max(initial=0.0) <= 1.0

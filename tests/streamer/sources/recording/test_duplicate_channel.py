"""Dual mono is recognised; two speakers who hear each other are not."""

import numpy as np
import pytest

from streamer.sources.recording.duplicate_channel import DuplicateDetector

RATE = 16_000


def turns(seed=0):
    """Float32 [n, 2]: two speakers in turns of two seconds."""
    rng = np.random.default_rng(seed)
    first, second = rng.normal(0, 0.1, (2, 8 * RATE))
    talks = np.repeat(np.arange(8) // 2 % 2, RATE)
    return np.stack([first * (talks == 0), second * (talks == 1)], axis=1).astype(np.float32)


def can_be_copies(pair):
    detector = DuplicateDetector()
    return all(detector.add(block) for block in np.split(pair, len(pair) // RATE))


@pytest.mark.parametrize("gain", [1.0, -1.0, 0.5, 0.35])
def test_copies_at_any_level_and_sign_are_duplicates(gain):
    voice = turns().sum(axis=1)
    assert can_be_copies(np.stack([voice, gain * voice], axis=1))


@pytest.mark.parametrize("decibels", [6, 10, 20, 30])
def test_speakers_who_hear_each_other_are_no_duplicates(decibels):
    pair = turns()
    assert not can_be_copies(pair + 10 ** (-decibels / 20) * pair[:, ::-1])


def test_a_channel_that_hears_the_other_faintly_is_no_duplicate():
    voice = turns().sum(axis=1)
    assert not can_be_copies(np.stack([voice, 0.1 * voice], axis=1))

"""Silences copies of another channel, and nobody who speaks."""

import numpy as np
import pytest

from streamer.audio import FRAME, SAMPLE_RATE, AudioChunk, Gap
from streamer.speech.crosstalk import CrosstalkGate
from tests.end_to_end.conversations import silence, voice

RATE = SAMPLE_RATE


def turns():
    """Float32 [2, n]: two voices in turns, with a little noise of their own."""
    first = np.concatenate([silence(0.5), voice(2, 1), silence(3)])
    second = np.concatenate([silence(3), voice(2, 2), silence(0.5)])
    noise = np.random.default_rng(0).normal(0, 1e-4, (2, len(first)))
    return (np.stack([first, second]) + noise).astype(np.float32)


def leaking(channels, decibels, delay=0.0, taps=(1.0,)):
    """The same, each channel with the other's voice, weaker, late and filtered."""
    late = np.zeros((2, round(delay * RATE)))
    leaked = np.stack([np.convolve(x, taps)[: channels.shape[1]] for x in channels[::-1]])
    leaked = np.concatenate([late, leaked], axis=1)[:, : channels.shape[1]]
    return (channels + 10 ** (-decibels / 20) * leaked).astype(np.float32)


def filtered(channels, size=4800):
    gate = CrosstalkGate(len(channels))
    pieces = [[] for _ in channels]
    for start in range(0, channels.shape[1], size):
        chunks = [AudioChunk(c, start, x[start : start + size]) for c, x in enumerate(channels)]
        for chunk in gate.filter(chunks):
            pieces[chunk.channel].append(chunk.samples)
    return np.stack([np.concatenate(samples) for samples in pieces])


def rows(samples):
    """Power of each row [channels, rows]."""
    whole = samples.shape[1] // FRAME * FRAME
    return (samples[:, :whole].reshape(len(samples), -1, FRAME) ** 2).mean(axis=2)


@pytest.mark.parametrize("decibels", [12, 20, 26])
@pytest.mark.parametrize("delay", [0.0, 0.01, 0.05])
@pytest.mark.parametrize("taps", [(1.0,), (0.2, 0.5, 0.2), (1.0, 0, 0, 0, -0.7)])
def test_a_weaker_copy_is_silenced_and_the_original_is_not(decibels, delay, taps):
    own = turns()
    before = leaking(own, decibels, delay, taps)
    after = rows(filtered(before))
    speaks = rows(own) > 1e-4
    assert (after[speaks] > 0).all()
    copies = speaks[::-1] & ~speaks & (rows(before) > 1e-6)
    assert (after[copies] == 0).mean() > 0.85


def test_soft_speech_beneath_another_speaker_stays():
    pair = np.stack([voice(4, 1), 0.1 * voice(4, 2)])
    assert (rows(filtered(pair)) == 0).mean() < 0.05


def test_both_keep_their_own_voice_when_they_speak_at_once():
    pair = leaking(np.stack([voice(4, 1), voice(4, 2, 0.2)]), 15)
    assert np.array_equal(filtered(pair), pair)


def test_the_same_whatever_the_pieces():
    mixed = leaking(turns(), 20)
    whole = filtered(mixed, mixed.shape[1])
    for size in (FRAME, 7 * FRAME, 50 * FRAME):
        assert np.array_equal(filtered(mixed, size), whole)


def test_audio_behind_a_gap_is_not_compared_with_audio_before():
    gate = CrosstalkGate(2)
    speech = voice(2, 1)
    gate.filter([AudioChunk(0, 0, speech), Gap(1, 0, len(speech), "lost")])
    later = [
        AudioChunk(0, len(speech), silence(1)),
        AudioChunk(1, len(speech), 0.1 * speech[:RATE]),
    ]
    assert np.array_equal(gate.filter(later)[1].samples, later[1].samples)


def test_a_single_channel_passes_untouched():
    gate = CrosstalkGate(1)
    pieces = [AudioChunk(0, 0, voice(1))]
    assert gate.filter(pieces) == pieces

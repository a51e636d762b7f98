"""Cross-talk: a channel that hears, much weaker, what another channel hears.

Two speakers of one recording often leak into each other's channel: over the telephone's side tone, from headphone to
microphone, through a room. Without care each utterance is reported twice. A row of a channel is silenced here if its
audio is a filtered, delayed, weaker copy of another channel's: both the levels and the coherence say so. Someone who
speaks softly beneath another speaker is weaker, but no copy, and stays.
"""

from collections.abc import Sequence
from dataclasses import replace
from itertools import count

import numpy as np

from streamer.audio import FRAME, SAMPLE_RATE, AudioChunk, Gap, Samples

_WINDOW = 16 * FRAME
"""Samples (480 ms) that a decision looks back on."""
_MAX_DELAY = SAMPLE_RATE // 20
"""Samples (50 ms) by which a copy may be late or early."""
_MIN_RATIO = 4.0
"""Least ratio of powers (6 dB) of the original and its copy."""
_AUDIBLE = 1e-7
"""Power (-70 dB) below which a row is silent whatever it is."""
_ABOVE_FLOOR = 4.0
"""Power over that of a channel's quietest moments (6 dB) below which a row holds no speech anyway."""
_FLOOR_RISE = 1.007
"""Factor by which the quietest moments fade with each row: twofold in 3 s."""
_ROWS = 4
"""Rows (120 ms) that a decision lasts."""
_YOUNG = 10
"""Rows (300 ms) of a sound in which each row is decided by itself: evidence still grows, an utterance may begin."""
_COHERENCE = 0.6
"""Share of a copy's power that the original explains, from which it is a copy."""
_MIN_FRAMES = 4.0
"""Frames that must carry the power before coherence means anything: that of one frame is always 1."""
_TINY = 1e-12
_SEGMENT, _HOP = 256, 128
_FFT = 9600
"""At least `_WINDOW + 2 * _MAX_DELAY`, so that no delay wraps around; of small factors."""
_BAND = slice(_FFT * 200 // SAMPLE_RATE, _FFT * 3800 // SAMPLE_RATE)
"""Frequencies in which delays are looked for."""
_HANN = np.hanning(_SEGMENT).astype(np.float32)


class CrosstalkGate:
    """Silences rows of a channel that are copies of another channel's.

    What happens to a row depends on the audio up to its end alone.

    Args:
        channels: how many there are.
    """

    def __init__(self, channels: int) -> None:
        self._recent = [_Recent() for _ in range(channels)]
        self._copies = [False] * channels
        self._floors = [_AUDIBLE] * channels
        self._age = [0] * channels
        """Rows for which each has been loud."""

    def filter(self, pieces: Sequence[AudioChunk | Gap]) -> list[AudioChunk | Gap]:
        """Give the same pieces, audio that is cross-talk being silent."""
        if len(self._recent) < 2:
            return [*pieces]
        for piece in pieces:
            self._recent[piece.channel].add(piece)
        filtered = [
            self._filtered(piece) if isinstance(piece, AudioChunk) else piece for piece in pieces
        ]
        for recent in self._recent:
            recent.forget()
        return filtered

    def _filtered(self, chunk: AudioChunk) -> AudioChunk:
        samples = chunk.samples
        row = chunk.start // FRAME
        powers = self._recent[chunk.channel].row_powers(row, -(-chunk.end // FRAME))
        for begin, power in zip(count(row * FRAME, FRAME), powers, strict=False):
            if not self._is_copy(chunk.channel, begin // FRAME, power):
                continue
            if samples is chunk.samples:
                samples = samples.copy()
            samples[max(0, begin - chunk.start) : begin + FRAME - chunk.start] = 0.0
        return chunk if samples is chunk.samples else replace(chunk, samples=samples)

    def _is_copy(self, channel: int, row: int, power: float) -> bool:
        """Decide about a row; the decision lasts while it is loud, for some rows."""
        loud = power > max(_AUDIBLE, _ABOVE_FLOOR * self._floors[channel])
        self._floors[channel] = min(power, self._floors[channel] * _FLOOR_RISE) + _TINY
        self._age[channel] = self._age[channel] + 1 if loud else max(0, self._age[channel] - 2)
        if loud and (row % _ROWS == 0 or self._age[channel] < _YOUNG):
            self._copies[channel] = self._decide(channel, (row + 1) * FRAME)
        return self._copies[channel]

    def _decide(self, channel: int, end: int) -> bool:
        own = self._recent[channel]
        power = own.power(end, _WINDOW)
        return any(
            other.power(end, _WINDOW) > _MIN_RATIO * power
            and _explained(own.window(end, _WINDOW), other.window(end, _WINDOW + 2 * _MAX_DELAY))
            for other in self._recent
            if other is not own
        )


class _Recent:
    """The latest audio of a channel, gaps being silence."""

    def __init__(self) -> None:
        self._held: Samples = np.zeros(0, np.float32)
        self._start = 0

    def add(self, piece: AudioChunk | Gap) -> None:
        kept = _WINDOW + 2 * _MAX_DELAY
        if isinstance(piece, Gap):
            silence = np.zeros(min(kept, piece.end - piece.start), np.float32)
            self._held = np.concatenate([self._held, silence])
            self._start = piece.end - len(self._held)
            return
        self._held = np.concatenate([self._held, piece.samples])
        self._start = piece.end - len(self._held)

    def forget(self) -> None:
        """Keep what the next decisions look back on."""
        kept = self._held[-(_WINDOW + 2 * _MAX_DELAY + FRAME) :]
        self._start += len(self._held) - len(kept)
        self._held = kept.copy()

    def window(self, end: int, length: int) -> Samples:
        """Return the samples before a position, silence where there are none."""
        first = max(0, end - length - self._start)
        known = self._held[first : max(0, end - self._start)]
        if len(known) == length:
            return known
        window = np.zeros(length, np.float32)
        place = max(0, self._start - (end - length))
        window[place : place + len(known)] = known
        return window

    def power(self, end: int, length: int) -> float:
        """Return the mean power before a position."""
        window = self.window(end, length)
        return float(np.dot(window, window)) / length

    def row_powers(self, first: int, end: int) -> list[float]:
        """Return the mean power of each row."""
        rows = self.window(end * FRAME, (end - first) * FRAME).reshape(-1, FRAME)
        powers: list[float] = (np.vecdot(rows, rows).astype(np.float64) / FRAME).tolist()
        return powers


def _explained(copy: Samples, original: Samples) -> bool:
    """Return whether a window is a filtered and delayed copy of another.

    Args:
        copy: float32 [_WINDOW].
        original: float32 [_WINDOW + 2 _MAX_DELAY], which ends where the copy does.
    """
    mine = _segments(copy)
    energies = np.abs(mine) ** 2
    powers = energies.sum(axis=1)
    frames = powers.sum() ** 2 / (powers**2).sum()
    if frames < _MIN_FRAMES:
        return False
    delay = _delay(copy, original)
    theirs = _segments(original[delay : delay + len(copy)])
    other = (np.abs(theirs) ** 2).sum(axis=0)
    joint = np.abs((mine * theirs.conj()).sum(axis=0)) ** 2
    explained = float((joint / (other + 1e-12)).sum() / energies.sum(axis=0).sum())
    chance = 1.0 / frames
    return bool((explained - chance) / (1.0 - chance) > _COHERENCE)


def _delay(copy: Samples, original: Samples) -> int:
    """Return the sample of the original at which the copy likeliest begins."""
    spectra = np.fft.rfft(copy, _FFT)[_BAND], np.fft.rfft(original, _FFT)[_BAND]
    cross = np.zeros(_FFT // 2 + 1, np.complex64)
    product = spectra[0].conj() * spectra[1]
    cross[_BAND] = product / (np.abs(product) ** 0.7 + 1e-12)
    likely = np.abs(np.fft.irfft(cross, _FFT)[: 2 * _MAX_DELAY + 1])
    return int(likely.argmax())


def _segments(samples: Samples) -> np.ndarray[tuple[int, int], np.dtype[np.complex128]]:
    """Spectra [segments, bins] of overlapping segments."""
    shape = (len(samples) - _SEGMENT) // _HOP + 1, _SEGMENT
    (step,) = samples.strides
    views = np.lib.stride_tricks.as_strided(samples, shape, (_HOP * step, step))
    return np.fft.rfft(views * _HANN, axis=1)[:, 2:64]

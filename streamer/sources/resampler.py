"""Any sample rate to 16 kHz, sample by sample, for live audio.

soxr, which recordings go through, hands out its results in blocks of up to 40 ms, and whoever listens live
waits for them. This is the plain method, a windowed sinc for each phase between two samples, and it is
never more than two milliseconds behind.
"""

from math import ceil, gcd

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from streamer.audio import SAMPLE_RATE, Samples

_ZEROS = 24
"""Zero crossings of the sinc on each side: half its length."""
_PASSED = 0.94
"""Share of the band that is kept; the rest is where the filter falls."""
_BETA = 8.0
"""Of the Kaiser window: what folds back is 80 dB down."""
_AT_ONCE = 128
"""Samples made at a time: what they need fits into the cache, and into memory that is not given back each time."""


class Resampler:
    """Resamples consecutive pieces as if they were one.

    Args:
        rate: samples per second of what comes in.
        channels: of what comes in.
    """

    def __init__(self, rate: int, channels: int) -> None:
        divisor = gcd(rate, SAMPLE_RATE)
        self._up, self._down = SAMPLE_RATE // divisor, rate // divisor
        band = min(1.0, SAMPLE_RATE / rate)
        self._half = ceil(_ZEROS / band)
        self._phases = _filters(self._up, self._half, band * _PASSED)
        self._held: Samples = np.zeros((self._half - 1, channels), np.float32)
        self._first = 1 - self._half
        """Index of the first sample held; before 0 there was silence."""
        self._made = 0

    def push(self, samples: Samples, *, last: bool = False) -> Samples:
        """Take samples [n, channels]; give those at 16 kHz [m, channels] that are certain.

        Args:
            samples: float32, at the rate of what comes in.
            last: nothing follows, so that all is certain.
        """
        self._held = np.concatenate([self._held, samples])
        end = self._first + len(self._held)
        if last:
            silence = np.zeros((self._half, self._held.shape[1]), np.float32)
            self._held = np.concatenate([self._held, silence])
            end += self._half
        outputs = np.arange(self._made, max(self._made, self.ready(end)))
        places, phases = np.divmod(outputs * self._down, self._up)
        begins = places - (self._half - 1) - self._first
        made = self._filter(begins, phases)
        self._made += len(outputs)
        keep = self._made * self._down // self._up - (self._half - 1) - self._first
        self._held = self._held[max(0, keep) :]
        self._first += max(0, keep)
        return made

    def ready(self, samples: int) -> int:
        """How many of its samples are certain once so many have come in."""
        return -(-(samples - self._half) * self._up // self._down)

    def _filter(self, begins: NDArray[np.int64], phases: NDArray[np.int64]) -> Samples:
        """The samples held from each of some places on, weighted and summed [places, channels]."""
        made = np.zeros((len(begins), self._held.shape[1]), np.float32)
        for channel, samples in enumerate(np.ascontiguousarray(self._held.T)):
            windows = as_strided(samples, (len(samples), 2 * self._half), 2 * samples.strides)
            for first in range(0, len(begins), _AT_ONCE):
                some = slice(first, first + _AT_ONCE)
                around, weights = windows[begins[some]], self._phases[phases[some]]
                np.einsum("ot,ot->o", around, weights, out=made[some, channel])
        return made


def _filters(phases: int, half: int, band: float) -> Samples:
    """For each phase, the weights [2 half] of the samples around a place that far between two of them."""
    fractions = np.arange(phases)[:, None] / phases
    distance = np.arange(1 - half, half + 1) - fractions
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, None)))
    weights = np.sinc(band * distance) * window
    normalised: Samples = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised

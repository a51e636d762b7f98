"""Low-latency resampling of any rate to 16 kHz, for live audio.

soxr, which recordings use, returns results in blocks of up to 40 ms, which would delay live audio. This is a
polyphase windowed sinc, at most two milliseconds behind its input.
"""

from math import ceil, gcd

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from streamer.audio import SAMPLE_RATE, Samples

_ZEROS = 24
"""Zero crossings of the sinc on each side: half its length."""
_PASSED = 0.94
"""Share of the band that passes; the rest is the transition band."""
_BETA = 8.0
"""Shape of the Kaiser window: aliases are 80 dB down."""
_BATCH = 128
"""Output samples per step: their inputs fit into the cache and into memory that the allocator keeps."""


class Resampler:
    """Resamples consecutive pieces as one signal.

    Args:
        rate: input sample rate in Hz.
        channels: number of channels.
    """

    def __init__(self, rate: int, channels: int) -> None:
        divisor = gcd(rate, SAMPLE_RATE)
        self._up, self._down = SAMPLE_RATE // divisor, rate // divisor
        band = min(1.0, SAMPLE_RATE / rate)
        self._half = ceil(_ZEROS / band)
        self._phases = _filters(self._up, self._half, band * _PASSED)
        self._held: Samples = np.zeros((self._half - 1, channels), np.float32)
        self._first = 1 - self._half
        """Index of the first held sample; negative indices are silence."""
        self._emitted = 0

    def push(self, samples: Samples, *, last: bool = False) -> Samples:
        """Add input [n, channels]; return the output [m, channels] at 16 kHz that is complete.

        Args:
            samples: float32 at the input rate.
            last: no input follows; flush everything.
        """
        self._held = np.concatenate([self._held, samples])
        end = self._first + len(self._held)
        if last:
            silence = np.zeros((self._half, self._held.shape[1]), np.float32)
            self._held = np.concatenate([self._held, silence])
            end += self._half
        outputs = np.arange(self._emitted, max(self._emitted, self.ready(end)))
        places, phases = np.divmod(outputs * self._down, self._up)
        begins = places - (self._half - 1) - self._first
        made = self._filter(begins, phases)
        self._emitted += len(outputs)
        keep = self._emitted * self._down // self._up - (self._half - 1) - self._first
        self._held = self._held[max(0, keep) :]
        self._first += max(0, keep)
        return made

    def ready(self, samples: int) -> int:
        """Return the number of complete output samples after so many input samples."""
        return -(-(samples - self._half) * self._up // self._down)

    def _filter(self, begins: NDArray[np.int64], phases: NDArray[np.int64]) -> Samples:
        """Filter the held samples from each place on; return [places, channels]."""
        made = np.zeros((len(begins), self._held.shape[1]), np.float32)
        for channel, samples in enumerate(np.ascontiguousarray(self._held.T)):
            windows = as_strided(samples, (len(samples), 2 * self._half), 2 * samples.strides)
            for first in range(0, len(begins), _BATCH):
                some = slice(first, first + _BATCH)
                around, weights = windows[begins[some]], self._phases[phases[some]]
                np.einsum("ot,ot->o", around, weights, out=made[some, channel])
        return made


def _filters(phases: int, half: int, band: float) -> Samples:
    """Return the filter weights [phases, 2 half], one row for each fractional position."""
    fractions = np.arange(phases)[:, None] / phases
    distance = np.arange(1 - half, half + 1) - fractions
    window = np.i0(_BETA * np.sqrt(np.clip(1 - (distance / half) ** 2, 0, None)))
    weights = np.sinc(band * distance) * window
    normalised: Samples = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return normalised

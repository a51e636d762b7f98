"""The log-mel spectrogram that Whisper hears (Radford et al., 2022), of an utterance alone."""

import functools

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000
HOP = 160
"""Samples (10 ms) from one column to the next."""
WINDOW = 400
"""Samples (25 ms) that a column is computed from."""
_FLOOR = 1e-10
_RANGE = 8.0
"""Decades under the loudest value that are kept."""
_KNEE_HZ = 1000.0
_LINEAR_HZ = 200.0 / 3
_LOG_STEP = np.log(6.4) / 27.0
"""Slaney's mel scale: linear up to 1,000 Hz, logarithmic above."""

Features = NDArray[np.float32]


def log_mel(samples: NDArray[np.float32], bands: int) -> Features:
    """Return the spectrogram [bands, n] of samples float32 [16000 t], n = 100 t rounded up; 0 stands for silence.

    Values are log10 of the power, limited to 8 decades under the loudest, shifted and scaled to about -1 to 1.
    """
    half = WINDOW // 2
    columns = -(-len(samples) // HOP)
    padded = np.pad(samples, (half, 0), mode="reflect")
    padded = np.pad(padded, (0, (columns - 1) * HOP + WINDOW - len(padded)))
    decades = np.log10(np.maximum(mel_power(padded, bands), np.float32(_FLOOR)))
    limited = np.maximum(decades, decades.max() - np.float32(_RANGE))
    return np.asarray((limited + 4) / 4, np.float32)


def mel_power(samples: NDArray[np.float32], bands: int) -> Features:
    """Return the power in mel bands, [bands, n], of each whole window of 25 ms, every 10 ms."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, WINDOW)[::HOP]
    power = np.square(np.abs(np.fft.rfft(frames * _hann(), axis=1))).astype(np.float32)
    return np.asarray(_mel_filters(bands) @ power.T, np.float32)


@functools.cache
def _hann() -> NDArray[np.float32]:
    return np.asarray(np.hanning(WINDOW + 1)[:-1], np.float32)


@functools.cache
def _mel_filters(bands: int) -> NDArray[np.float32]:
    """Return triangles of equal area [bands, 201] on Slaney's scale, from 0 Hz to half the sample rate."""
    top = _KNEE_HZ / _LINEAR_HZ + np.log(SAMPLE_RATE / 2 / _KNEE_HZ) / _LOG_STEP
    mels = np.linspace(0.0, top, bands + 2)
    knee = _KNEE_HZ / _LINEAR_HZ
    corners = np.where(
        mels < knee, mels * _LINEAR_HZ, _KNEE_HZ * np.exp(_LOG_STEP * np.maximum(mels - knee, 0))
    )
    bins = np.fft.rfftfreq(WINDOW, 1 / SAMPLE_RATE)
    widths = np.diff(corners)
    rising = (bins - corners[:-2, None]) / widths[:-1, None]
    falling = (corners[2:, None] - bins) / widths[1:, None]
    triangles = np.maximum(0, np.minimum(rising, falling))
    return np.asarray(triangles * (2 / (corners[2:] - corners[:-2]))[:, None], np.float32)

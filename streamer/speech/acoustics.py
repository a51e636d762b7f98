"""Acoustics of an utterance: loudness, pitch, pauses, speaking rate.

Pitch follows YIN (de Cheveigne & Kawahara 2002): cumulative mean normalised difference, absolute
threshold, parabolic interpolation; all frames of an utterance at once, correlations by FFT.
"""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from streamer.events import Acoustics

_RATE = 16_000
_LEVEL_FRAME = 160
"""Samples (10 ms) of a frame whose level is measured."""
_SPEECH_RANGE_DB = 25.0
"""Below the loud frames of an utterance by this much counts as silence."""
_FLOOR_DB = -70.0
"""No speech is below this level (dB full scale)."""
_PAUSE_FRAMES = 15
"""Frames (0.15 s) of silence that are a pause; anything shorter belongs to a word."""

_HALF = _RATE // 2
"""Sample rate (Hz) at which pitch is measured."""
_LOWEST, _HIGHEST = 60.0, 500.0
"""Hz."""
_SHORTEST_LAG, _LONGEST_LAG = int(_HALF / _HIGHEST), int(_HALF / _LOWEST) + 2
_WINDOW = 256
"""Samples (32 ms at 8 kHz) over which a frame is compared with itself, shifted."""
_HOP = 160
"""Samples (20 ms at 8 kHz) between frames."""
_FFT = 400
_APERIODICITY = 0.15
"""Normalised difference below which a frame counts as voiced."""
_LEAST_VOICED = 3
"""Voiced frames without which there is no pitch."""

Samples = NDArray[np.float32]


def measure(samples: Samples) -> Acoustics:
    """Measure loudness, pitch and pauses of an utterance.

    Args:
        samples: mono, 16 kHz, in [-1, 1].
    """
    loudness, pauses = _levels(samples)
    pitch, pitch_range = _pitch_figures(pitch_contour(samples))
    return Acoustics(
        loudness_db=_rounded(loudness, 1),
        pitch_hz=_rounded(pitch, 1),
        pitch_range=_rounded(pitch_range, 1),
        pause_ratio=_rounded(pauses, 3),
    )


def words_per_minute(text: str, seconds: float) -> float | None:
    """Return the speaking rate of a transcript; None if it has no words."""
    words = len(text.split())
    return round(60 * words / seconds, 1) if words and seconds > 0 else None


def pitch_contour(samples: Samples) -> NDArray[np.float64]:
    """Return the fundamental frequency (Hz) of the voiced frames, one every 20 ms.

    Args:
        samples: mono, 16 kHz, in [-1, 1].
    """
    if len(samples) < 2 * (_WINDOW + _LONGEST_LAG):
        return np.empty(0)
    halved = _halve(samples)
    length = _WINDOW + _LONGEST_LAG
    starts = np.arange(0, len(halved) - length + 1, _HOP)
    energy = np.concatenate([[0.0], np.cumsum(np.square(halved, dtype=np.float64))])
    power = (energy[starts + length] - energy[starts]) / length
    loudest = power.max()
    loud = power > max(10 ** (_FLOOR_DB / 10), loudest * 10 ** (-_SPEECH_RANGE_DB / 10))
    return _periods(_normalised_difference(halved, energy, starts[loud]))


def _levels(samples: Samples) -> tuple[float | None, float | None]:
    """Return the mean level (dB) of the speech and the share of pauses between its ends."""
    count = len(samples) // _LEVEL_FRAME
    frames = samples[: count * _LEVEL_FRAME].reshape(count, _LEVEL_FRAME)
    power = np.einsum("ij,ij->i", frames, frames) / _LEVEL_FRAME
    if not count or power.max() < 10 ** (_FLOOR_DB / 10):
        return None, None
    speech = power > np.quantile(power, 0.95) * 10 ** (-_SPEECH_RANGE_DB / 10)
    loudness = min(0.0, 10 * float(np.log10(power[speech].mean())))
    spoken = np.flatnonzero(speech)
    silent = np.diff(spoken) - 1
    return loudness, float(silent[silent >= _PAUSE_FRAMES].sum() / (spoken[-1] - spoken[0] + 1))


def _halve(samples: Samples) -> Samples:
    """Return every second sample, low-passed at 3.2 kHz."""
    count, reach = (len(samples) + 1) // 2, len(_LOW_PASS) // 2
    padded = np.pad(samples, reach)
    phases = padded[::2].copy(), padded[1::2].copy()

    def shifted(tap: int) -> Samples:
        return phases[tap % 2][tap // 2 : tap // 2 + count]

    filtered: Samples = _LOW_PASS[reach] * shifted(reach)
    for tap in range(reach):  # symmetric
        filtered += _LOW_PASS[tap] * (shifted(tap) + shifted(2 * reach - tap))
    return filtered


def _low_pass() -> Samples:
    places = np.arange(-8, 9)
    taps = 0.4 * np.sinc(0.4 * places) * np.hamming(len(places))
    low_pass: Samples = (taps / taps.sum()).astype(np.float32)
    return low_pass


_LOW_PASS = _low_pass()


def _normalised_difference(
    samples: Samples, energy: NDArray[np.float64], starts: NDArray[np.intp]
) -> NDArray[np.float64]:
    """Return YIN's d'(lag), shape (frames, lags), of the frames of _WINDOW + _LONGEST_LAG samples that start there.

    Args:
        samples: of the utterance, 8 kHz.
        energy: sum of the squares of all samples before each one.
        starts: first sample of each frame.
    """
    frames = sliding_window_view(samples, _WINDOW + _LONGEST_LAG)[starts]
    head = np.fft.rfft(frames[:, :_WINDOW], _FFT)
    whole = np.fft.rfft(frames, _FFT)
    correlation = np.fft.irfft(np.conj(head) * whole, _FFT)[:, : _LONGEST_LAG + 1]
    sums = sliding_window_view(energy, _WINDOW + _LONGEST_LAG + 1)[starts]
    energies = sums[:, _WINDOW:] - sums[:, : _LONGEST_LAG + 1]
    difference = np.maximum(0.0, energies[:, :1] + energies - 2 * correlation)
    lags = np.arange(1, _LONGEST_LAG + 1)
    means = np.cumsum(difference[:, 1:], axis=1) / lags
    normalised: NDArray[np.float64] = np.ones_like(difference)
    np.divide(difference[:, 1:], means, out=normalised[:, 1:], where=means > 0)
    return normalised


def _periods(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the frequency (Hz) of each voiced frame: the first dip below the threshold."""
    inner = difference[:, _SHORTEST_LAG:_LONGEST_LAG]
    left = difference[:, _SHORTEST_LAG - 1 : _LONGEST_LAG - 1]
    right = difference[:, _SHORTEST_LAG + 1 : _LONGEST_LAG + 1]
    dips = (inner < _APERIODICITY) & (inner <= left) & (inner < right)
    voiced = np.flatnonzero(dips.any(axis=1))
    places = dips[voiced].argmax(axis=1)
    below, at, above = left[voiced, places], inner[voiced, places], right[voiced, places]
    curve = below + above - 2 * at
    shift = np.divide(0.5 * (below - above), curve, out=np.zeros_like(curve), where=curve > 0)
    frequencies: NDArray[np.float64] = _HALF / (_SHORTEST_LAG + places + shift)
    return frequencies


def _pitch_figures(contour: NDArray[np.float64]) -> tuple[float | None, float | None]:
    """Return the median (Hz) and the range (semitones, 10th to 90th percentile)."""
    if len(contour) < _LEAST_VOICED:
        return None, None
    low, middle, high = np.quantile(contour, (0.1, 0.5, 0.9))
    return float(middle), float(12 * np.log2(high / low))


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits) + 0.0

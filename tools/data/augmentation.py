"""What a room, a microphone and a telephone line do to speech, for training on clean recordings.

Every effect takes and gives mono float32 samples [n] at 16 kHz. `Augmentation` puts them in the order in which they
happen on the way from a mouth to this program; what it draws depends on nothing but its key.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import soxr
from numpy.typing import NDArray
from scipy.signal import butter, fftconvolve, sosfilt

from streamer.audio import SAMPLE_RATE, to_samples

Wave = NDArray[np.float32]

_MU = 255.0
_DIRECT = to_samples(0.0025)
"""What follows the peak of a room response within 2.5 ms counts as direct sound."""

_PACKET = to_samples(0.020)
_FADE = to_samples(0.0025)


def gain(wave: Wave, decibels: float) -> Wave:
    """Make a wave louder or softer; it may exceed 1."""
    return (wave * np.float32(10 ** (decibels / 20))).astype(np.float32)


def clip_peaks(wave: Wave, decibels: float) -> Wave:
    """Cut off what is above the peak lowered by `decibels`: an input driven too hard."""
    limit = float(np.abs(wave).max(initial=0.0)) * 10 ** (-decibels / 20)
    return np.clip(wave, -limit, limit).astype(np.float32)


def change_speed(wave: Wave, factor: float) -> Wave:
    """Play a wave `factor` times as fast: shorter and higher."""
    return np.asarray(soxr.resample(wave, SAMPLE_RATE * factor, SAMPLE_RATE, "MQ"), np.float32)


def speech_level(wave: Wave) -> float:
    """Return root mean square of the loud half of the 30 ms frames: pauses do not count."""
    frame = to_samples(0.030)
    whole = len(wave) // frame * frame
    if not whole:
        return float(np.sqrt(np.mean(np.square(wave)))) if len(wave) else 0.0
    powers = np.square(wave[:whole]).reshape(-1, frame).mean(axis=1)
    return float(np.sqrt(powers[powers >= np.median(powers)].mean()))


def add_noise(wave: Wave, noise: Wave, snr_db: float, start: int = 0) -> Wave:
    """Add a noise, repeated as needed from `start` on, `snr_db` below the level of speech."""
    if not len(noise) or not len(wave):
        return wave
    background = np.resize(np.roll(noise, -start), len(wave))
    level = float(np.sqrt(np.mean(np.square(background))))
    if level == 0.0:
        return wave
    scale = speech_level(wave) / level * 10 ** (-snr_db / 20)
    return (wave + background * np.float32(scale)).astype(np.float32)


def reverberate(wave: Wave, response: Wave, direct_to_reverberant_db: float) -> Wave:
    """Put speech into a room; neither delayed nor lengthened, as loud as before.

    Args:
        wave: Samples [n].
        response: A room impulse response.
        direct_to_reverberant_db: How far the reflections are under the direct sound: the distance to the microphone.
    """
    peak = int(np.abs(response).argmax()) if len(response) else 0
    tail = response[peak:].copy()
    direct_energy = float(np.square(tail[:_DIRECT]).sum())
    tail_energy = float(np.square(tail[_DIRECT:]).sum())
    if direct_energy == 0.0 or tail_energy == 0.0 or not len(wave):
        return wave
    tail[_DIRECT:] *= np.sqrt(direct_energy / tail_energy) * 10 ** (-direct_to_reverberant_db / 20)
    wet = fftconvolve(wave, tail)[: len(wave)]
    level = float(np.sqrt(np.mean(np.square(wet))))
    if level == 0.0:
        return wave
    dry = float(np.sqrt(np.mean(np.square(wave))))
    return np.asarray(wet * (dry / level), np.float32)


def synthetic_room(decay_s: float, rng: np.random.Generator) -> Wave:
    """Return a room response made up: direct sound, then noise that falls by 60 dB in `decay_s` (a diffuse field)."""
    length = to_samples(decay_s)
    time = np.arange(length) / max(1, length)
    tail = rng.standard_normal(length) * 10 ** (-3.0 * time)
    tail[: min(length, 1)] = float(np.sqrt(np.square(tail).sum()))
    return tail.astype(np.float32)


def telephone(wave: Wave) -> Wave:
    """Return a telephone line: 300-3400 Hz at 8 kHz, mu-law with 8 bits (ITU-T G.711's companding law)."""
    band = butter(4, (300, 3400), "bandpass", fs=8000, output="sos")
    narrow = np.clip(sosfilt(band, soxr.resample(wave, SAMPLE_RATE, 8000, "MQ")), -1.0, 1.0)
    companded = np.sign(narrow) * np.log1p(_MU * np.abs(narrow)) / np.log1p(_MU)
    steps = np.rint(companded * 127.0) / 127.0
    expanded = np.sign(steps) * np.expm1(np.abs(steps) * np.log1p(_MU)) / _MU
    wide = soxr.resample(expanded.astype(np.float32), 8000, SAMPLE_RATE, "MQ")
    return _fit(np.asarray(wide, np.float32), len(wave))


def lose_packets(wave: Wave, rate: float, bandwidth_hz: float, rng: np.random.Generator) -> Wave:
    """Return a voice call over a poor network, as Opus sounds there: a narrower band, lost packets concealed.

    Packets of 20 ms are lost in bursts (Gilbert's two-state channel, mean burst of two); a lost one is replaced by the
    one before, softer each time, with a short cross-fade where the received sound returns.

    Args:
        wave: Samples [n].
        rate: Share of packets lost, 0 to under 1.
        bandwidth_hz: 4000, 6000 or 8000: Opus's narrow, medium and wide band.
        rng: Decides which packets are lost.
    """
    heard = wave
    if bandwidth_hz < SAMPLE_RATE / 2:
        low = butter(8, bandwidth_hz * 0.95, "lowpass", fs=SAMPLE_RATE, output="sos")
        heard = sosfilt(low, wave).astype(np.float32)
    out = heard.copy()
    lost, loudness = False, 1.0
    begin_loss = rate * 0.5 / max(1e-9, 1.0 - rate)
    fade = np.linspace(0.0, 1.0, _FADE, dtype=np.float32)
    for start in range(_PACKET, len(wave) - _PACKET + 1, _PACKET):
        was_lost, lost = lost, bool(rng.random() < (0.5 if lost else begin_loss))
        here = slice(start, start + _PACKET)
        if lost:
            loudness *= 0.6
            out[here] = out[start - _PACKET : start] * np.float32(loudness)
        elif was_lost:
            loudness = 1.0
            out[start : start + _FADE] *= fade
    return out


def crop(wave: Wave, length: int, rng: np.random.Generator) -> Wave:
    """Return a random stretch of at most `length` samples."""
    spare = len(wave) - length
    if spare <= 0:
        return wave
    start = int(rng.integers(spare + 1))
    return wave[start : start + length]


@dataclass(frozen=True, slots=True)
class Recipe:
    """How often and how strongly each effect is applied: probabilities and ranges.

    The ranges are those met in live audio: a quiet or a hot microphone, a noisy or an echoing room, a telephone, a
    poor network.
    """

    gain_db: tuple[float, float] = (-25.0, 10.0)
    noise: float = 0.4
    snr_db: tuple[float, float] = (0.0, 30.0)
    room: float = 0.25
    direct_to_reverberant_db: tuple[float, float] = (0.0, 30.0)
    speed: float = 0.6
    speed_range: tuple[float, float] = (0.9, 1.1)
    clipping: float = 0.1
    clipping_db: tuple[float, float] = (2.0, 15.0)
    telephone: float = 0.15
    packets: float = 0.1
    packet_loss: tuple[float, float] = (0.0, 0.15)
    keep: tuple[float, float] = (0.7, 1.0)
    """The share of a clip that a random crop keeps."""

    shortest_s: float = 1.1
    """No crop is shorter than this."""


class Augmentation:
    """Draws a different live version of a clip for each key.

    Args:
        noises: Background sounds.
        responses: Room impulse responses.
        recipe: How often and how strongly.
        seed: Two augmentations of one seed are the same.
    """

    def __init__(
        self,
        noises: Sequence[Wave],
        responses: Sequence[Wave],
        recipe: Recipe | None = None,
        *,
        seed: int = 0,
    ) -> None:
        self._noises = noises
        self._responses = responses
        self._recipe = recipe or Recipe()
        self._seed = seed

    def __call__(self, wave: Wave, *, epoch: int, clip: int) -> Wave:
        """Return a version of a clip, within [-1, 1]; equal for equal seed, epoch and clip. An empty one stays so."""
        if not len(wave):
            return wave
        rng = np.random.default_rng((self._seed, epoch, clip))
        recipe = self._recipe
        if rng.random() < recipe.speed:
            wave = change_speed(wave, rng.uniform(*recipe.speed_range))
        length = max(to_samples(recipe.shortest_s), round(len(wave) * rng.uniform(*recipe.keep)))
        wave = crop(wave, length, rng)
        if self._responses and rng.random() < recipe.room:
            response = self._responses[int(rng.integers(len(self._responses)))]
            wave = reverberate(wave, response, rng.uniform(*recipe.direct_to_reverberant_db))
        if self._noises and rng.random() < recipe.noise:
            noise = self._noises[int(rng.integers(len(self._noises)))]
            start = int(rng.integers(max(1, len(noise))))
            wave = add_noise(wave, noise, rng.uniform(*recipe.snr_db), start)
        wave = gain(wave, rng.uniform(*recipe.gain_db))
        if rng.random() < recipe.clipping:
            wave = clip_peaks(wave, rng.uniform(*recipe.clipping_db))
        wave = np.clip(wave, -1.0, 1.0).astype(np.float32)
        line = rng.random()
        if line < recipe.telephone:
            wave = telephone(wave)
        elif line < recipe.telephone + recipe.packets:
            bandwidth = float(rng.choice((4000.0, 6000.0, 8000.0)))
            wave = lose_packets(wave, rng.uniform(*recipe.packet_loss), bandwidth, rng)
        return np.clip(wave, -1.0, 1.0).astype(np.float32)


def _fit(wave: Wave, length: int) -> Wave:
    """Return the same samples cut or padded to `length`."""
    if len(wave) >= length:
        return wave[:length]
    return np.pad(wave, (0, length - len(wave)))

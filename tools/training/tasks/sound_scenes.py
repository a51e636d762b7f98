"""Scenes to learn sounds from: speech, sounds, music and noise after one another, mixed as power in mel bands.

Powers add up well enough, and a scene of six seconds is made in a millisecond.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from streamer_models.sound_network import BANDS, CLASSES, COLUMNS, DELAY

Power = NDArray[np.float32]
"""Mel power [T, 40], a column each 10 ms."""

SPEECH = "speech"
NOISE = "noise"
TONE = "tone"
"""Counts as music."""
OUTPUTS = (*CLASSES, SPEECH)
SCENE = 600
"""Columns of a scene: 6 s."""

UNSURE: Mapping[str, tuple[str, ...]] = {
    "sneezing": ("cough",), "throat-clearing": ("cough",), "yawning": ("sigh",),
    "panting": ("laugh", "sigh"), "moaning": ("cry", "sigh"), "screaming": ("cry",),
    "sad": ("cry", "sigh"), "relief": ("sigh", "laugh"), "elation": ("laugh",),
    "surprise_positive": ("laugh",), "distress": ("cry", "sigh"), "pain": ("cry", "sigh"),
    "angry": ("sigh",), "disgust": ("sigh", "cough"), "fearful": ("cry", "sigh"), "neutral": ("sigh",),
    "surprise_negative": ("sigh",),
}  # fmt: skip
"""Kinds of other sounds -> classes of which they may be examples; nothing is learnt there."""

_DRAWN, _SHARES = ("target", SPEECH, "other", NOISE), (0.34, 0.4, 0.12, 0.14)
_LEVEL = 10 ** (2.58 - 2.6)
"""Sum over the bands of speech at -26 dB of full scale."""
_LEVELS_DB = {SPEECH: (-14, 8), "music": (-22, 6), NOISE: (-35, 0), "other": (-20, 10)}
_TELEPHONE = 0.35
_TONE_SHARE = 0.3


@dataclass(frozen=True)
class SoundClip:
    """A clip of one kind; `kind` is a class, speech, noise, or another sound (`UNSURE`)."""

    kind: str
    group: str
    """Speaker, or recording: never both learnt from and measured on."""
    powers: tuple[Power, Power]
    """As recorded, and over a telephone; brought to one loudness."""


@dataclass(frozen=True)
class Scene:
    """What is heard, what is to be said of it, and where that counts.

    Attributes:
        power: float32 [T, 40].
        targets: float32 [T / 4, outputs], as late as the network says it.
        counts: float32 [T / 4, outputs], 1 or 0.
    """

    power: Power
    targets: Power
    counts: Power


def normalised(power: Power) -> Power:
    """Cut the silence at both ends off, and bring the louder half to the usual loudness."""
    loudness = power.sum(axis=1)
    loud = loudness[loudness >= np.median(loudness)].mean() + 1e-12
    voiced = np.flatnonzero(
        np.convolve(loudness, np.full(5, 0.2), "same")[: len(power)] > loud * 10**-2.0
    )
    first, last = (voiced[0], voiced[-1] + 1) if len(voiced) else (0, len(power))
    return np.asarray(power[first:last] * (_LEVEL / loud), np.float32)


class Scenes:
    """Draws scenes; equal numbers give equal scenes.

    Args:
        clips: To draw from.
        seed: Of all that is drawn.
    """

    def __init__(self, clips: Sequence[SoundClip], seed: int) -> None:
        self._seed = seed
        self._kinds: dict[str, list[SoundClip]] = defaultdict(list)
        for clip in clips:
            self._kinds[clip.kind].append(clip)
        self._targets = [kind for kind in CLASSES if kind in self._kinds]
        self._others = [kind for kind in UNSURE if kind in self._kinds]

    def __call__(self, number: int) -> Scene:
        """Draw the scene of a number."""
        rng = np.random.default_rng((self._seed, number))
        telephone = int(rng.random() < _TELEPHONE)
        power = np.full((SCENE, BANDS), 10 ** rng.uniform(-7, -5.2), np.float32)
        power *= rng.gamma(4.0, 0.25, (SCENE, BANDS)).astype(np.float32)
        targets = np.zeros((SCENE, len(OUTPUTS)), np.float32)
        counts = np.ones((SCENE, len(OUTPUTS)), np.float32)
        if rng.random() < 0.6:
            self._background(power, rng, telephone)
        at = int(rng.integers(0, 80))
        louder = rng.uniform(-12, 8)
        while at < SCENE:
            kind, piece = self._drawn(rng, SCENE - at, telephone)
            level = rng.uniform(*_LEVELS_DB.get(kind, _LEVELS_DB["other"])) / 2 + louder
            here = slice(at, at + len(piece))
            power[here] += piece * np.float32(10 ** (level / 10)) * _colour(rng)
            _note(targets[here], counts[here], kind, piece)
            at += len(piece) + (int(rng.integers(0, 70)) if rng.random() < 0.7 else 0)
        return Scene(power, *_delayed(targets, counts))

    def _drawn(self, rng: np.random.Generator, room: int, telephone: int) -> tuple[str, Power]:
        """Draw a kind and a piece of a clip of it, `room` columns at most."""
        kind = _DRAWN[int(rng.choice(len(_DRAWN), p=_SHARES))]
        if kind == "target":
            kind = self._targets[int(rng.integers(len(self._targets)))]
        elif kind == "other":
            kind = self._others[int(rng.integers(len(self._others)))] if self._others else SPEECH
        source = TONE if kind == "music" and rng.random() < _TONE_SHARE else kind
        length = int(rng.integers(120, 500 if kind == "music" else 350))
        clips = self._kinds[source]
        clip = clips[int(rng.integers(len(clips)))].powers[telephone]
        skip = int(rng.integers(0, max(1, len(clip) - length)))
        return kind, clip[skip : skip + min(length, room)]

    def _background(self, power: Power, rng: np.random.Generator, telephone: int) -> None:
        clips = self._kinds[NOISE]
        noise = clips[int(rng.integers(len(clips)))].powers[telephone]
        rolled = np.roll(noise, int(rng.integers(len(noise))), axis=0)
        level = np.float32(10 ** (rng.uniform(-40, -12) / 10))
        power += np.resize(rolled, power.shape) * level * _colour(rng)


def _note(targets: Power, counts: Power, kind: str, piece: Power) -> None:
    """Write down what is to be said where a clip was put, [T, outputs] each."""
    if kind in OUTPUTS:
        targets[:, OUTPUTS.index(kind)] = _sounding(piece)
    for name in UNSURE.get(kind, ()):
        counts[:, OUTPUTS.index(name)] = 0
    if kind not in (SPEECH, NOISE, "music"):  # whether a voice in it speaks is open
        counts[:, OUTPUTS.index(SPEECH)] = 0


def _sounding(piece: Power) -> NDArray[np.bool_]:
    """Return where a clip is not silent for long, bool [T]: a tone that rings is music only while it rings."""
    loudness = np.convolve(piece.sum(axis=1), np.full(41, 1 / 41), "same")[: len(piece)]
    return np.asarray(loudness > _LEVEL * 10**-2.5)


def _colour(rng: np.random.Generator) -> Power:
    """Return what a microphone does to the bands: up to 6 dB either way, smoothly."""
    knots = rng.uniform(-6, 6, 5)
    decibels = np.interp(np.linspace(0, 4, BANDS), np.arange(5), knots)
    return np.asarray(10 ** (decibels / 10), np.float32)


def _delayed(targets: Power, counts: Power) -> tuple[Power, Power]:
    """Return average over the columns of an output, as late as it comes; what lies before the scene does not count."""
    parts = [part.reshape(-1, COLUMNS, part.shape[1]).mean(axis=1) for part in (targets, counts)]
    late = [np.zeros_like(part) for part in parts]
    for part, moved in zip(parts, late, strict=True):
        moved[DELAY:] = part[:-DELAY]
    return (late[0] > 0.5).astype(np.float32), (late[1] == 1).astype(np.float32)

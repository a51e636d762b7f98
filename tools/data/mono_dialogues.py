"""Dialogues of two voices in one channel, composed of the clips of speakers whom the bundles were not trained on.

The two are of one corpus, so that they share microphone and room and only the voice differs. Who talks with
whom, what is said and every length follow from the seed alone; no speaker is in both halves.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path
from typing import Literal

import numpy as np

from streamer.audio import Samples, to_samples, to_seconds
from streamer.errors import UserError
from tools.data.augmentation import speech_level, telephone
from tools.data.decoding import decode
from tools.data.manifest import Clip, read_manifest

Half = Literal["development", "test"]
HALVES: tuple[Half, ...] = ("development", "test")

PART = "dev"
"""The part of the manifest whose speakers talk."""

UNCLEAR = ("baved", "emospeech_in")
"""Corpora that are left out: single words in noise, whose beginnings and ends are anybody's guess."""

TURNS = (12, 16)
PAUSE_S = (0.2, 0.8)
OVERLAP_S = (0.2, 0.6)
OVERLAPPING = 0.12
"""Share of changes of the speaker at which the next one begins too early."""
GOES_ON = 0.15
"""Share of turns after which the same speaker has another one."""
PERSISTS = 0.5
"""Share of a speaker's turns that keep the emotion of the one before."""

SHORTEST_S = 1.5
"""What is said in a turn is at least this long: several clips if need be."""
_WITHIN = to_samples(0.15)
"""Silence between the clips of a turn."""

_LEVEL = 10 ** (-26 / 20)
_SPREAD_DB = 3.0
"""By how much a speaker may be louder or softer than the usual level."""
_ROOM = 10 ** (-65 / 20)
_STEP = to_samples(0.01)
_SMOOTH = 5
"""Steps of 10 ms over which the power of a clip is averaged where its ends are looked for."""
_UNDER = 10**-6.0
"""Power, relative to that of the speech, which counts as silence in any clip."""
_PAUSE = to_samples(0.3)
"""Silence within a clip that is no speech; shorter ones are, as in NIST's evaluations of diarization."""

Stretch = tuple[int, int]
"""Speech without a pause: its first sample, and the one after its last."""


@dataclass(frozen=True, slots=True)
class ComposedTurn:
    """What one speaker says: seconds, name, emotion expressed; and begin and end of each stretch without a pause."""

    start: float
    end: float
    speaker: str
    emotion4: str
    speech: tuple[tuple[float, float], ...]


@dataclass(frozen=True, slots=True)
class MonoDialogue:
    """A dialogue: float32 samples [n] at 16 kHz, and its turns in the order of their beginnings."""

    name: str
    samples: Samples
    turns: tuple[ComposedTurn, ...]


def compose(folder: Path, half: Half, count: int, *, seed: int = 0) -> Iterator[MonoDialogue]:
    """Compose dialogues, every other one over a telephone.

    Args:
        folder: Holds a manifest.csv of clips.
        half: Whose speakers talk.
        count: How many.
        seed: Of all that is drawn.

    Raises:
        UserError: The folder has no two speakers with emotions for this half, or a clip cannot be decoded.
    """
    pairs = _pairs(read_manifest(folder), seed)[HALVES.index(half) :: 2]
    if not pairs:
        raise UserError(f"{folder}: too few speakers of its {PART} part have an emotion4")
    for number, pair in enumerate(islice(cycle(pairs), count)):
        over_telephone = (number % len(pairs) + number // len(pairs)) % 2 == 1
        rng = np.random.default_rng((seed, half == "test", number))
        yield _compose(folder, f"{half}{number:02d}", pair, rng, over_telephone=over_telephone)


_Clips = dict[str, list[Clip]]
"""A speaker's clips by emotion."""


def _pairs(clips: Sequence[Clip], seed: int) -> list[tuple[_Clips, _Clips]]:
    """Pair the speakers of each corpus; nobody is in two pairs."""
    corpora: dict[str, dict[str, _Clips]] = defaultdict(
        lambda: defaultdict(lambda: defaultdict(list))
    )
    for clip in clips:
        if clip.split == PART and clip.emotion4 and clip.corpus not in UNCLEAR:
            corpora[clip.corpus][clip.speaker][clip.emotion4].append(clip)
    rng = np.random.default_rng(seed)
    pairs: list[tuple[_Clips, _Clips]] = []
    for corpus in sorted(corpora):
        speakers = [corpora[corpus][name] for name in rng.permutation(sorted(corpora[corpus]))]
        pairs.extend(zip(speakers[::2], speakers[1::2], strict=False))
    return pairs


def _compose(
    folder: Path,
    name: str,
    pair: tuple[_Clips, _Clips],
    rng: np.random.Generator,
    *,
    over_telephone: bool,
) -> MonoDialogue:
    levels = _LEVEL * 10 ** (rng.uniform(-_SPREAD_DB, _SPREAD_DB, 2) / 20)
    emotions: list[str | None] = [None, None]
    speaker, end = int(rng.integers(2)), to_samples(rng.uniform(*PAUSE_S))
    placed: list[tuple[int, Samples]] = []
    turns: list[ComposedTurn] = []
    for _ in range(int(rng.integers(TURNS[0], TURNS[1] + 1))):
        changes = bool(turns) and rng.random() >= GOES_ON
        speaker = 1 - speaker if changes else speaker
        known = sorted(pair[speaker])
        emotion = emotions[speaker]
        if emotion is None or rng.random() >= PERSISTS:
            emotion = emotions[speaker] = known[int(rng.integers(len(known)))]
        clips = pair[speaker][emotion]
        wave, speech = _said(folder, clips, rng)
        wave = wave * np.float32(levels[speaker] / max(speech_level(wave), 1e-6))
        early = changes and rng.random() < OVERLAPPING
        shift = -rng.uniform(*OVERLAP_S) if early else rng.uniform(*PAUSE_S)
        start = max(0, end + to_samples(shift))
        end = max(end, start + len(wave))
        placed.append((start, wave))
        turns.append(
            ComposedTurn(
                to_seconds(start),
                to_seconds(start + len(wave)),
                clips[0].speaker,
                emotion,
                tuple((to_seconds(start + low), to_seconds(start + high)) for low, high in speech),
            )
        )
    samples = rng.normal(0.0, _ROOM, end + to_samples(1.0)).astype(np.float32)
    for start, wave in placed:
        samples[start : start + len(wave)] += wave
    samples = np.clip(samples, -1.0, 1.0)
    line = "telephone" if over_telephone else "room"
    voices = "+".join(sorted({turn.speaker for turn in turns}))
    return MonoDialogue(
        f"{line}_{name}_{voices}",
        telephone(samples) if over_telephone else samples,
        tuple(sorted(turns, key=lambda turn: turn.start)),
    )


def _said(
    folder: Path, clips: Sequence[Clip], rng: np.random.Generator
) -> tuple[Samples, list[Stretch]]:
    """Return clips drawn one after the other until there is enough for a turn, and where in them is speech."""
    wave = np.zeros(0, np.float32)
    speech: list[Stretch] = []
    while len(wave) < to_samples(SHORTEST_S):
        clip = decode(folder / clips[int(rng.integers(len(clips)))].path)
        found = stretches(clip) or [(0, len(clip))]
        pause = np.zeros(_WITHIN if len(wave) else 0, np.float32)
        shift = len(wave) + len(pause) - found[0][0]
        speech.extend((low + shift, high + shift) for low, high in found)
        wave = np.concatenate((wave, pause, clip[found[0][0] : found[-1][1]]))
    return wave, _joined(speech)


def trimmed(wave: Samples) -> Samples:
    """Cut both ends of a clip off where no voice is."""
    found = stretches(wave)
    return wave[found[0][0] : found[-1][1]] if found else wave


def stretches(wave: Samples) -> list[Stretch]:
    """Find where a voice is: over the middle, in dB, of a clip's speech and its quietest parts; no short pauses."""
    whole = len(wave) // _STEP * _STEP
    powers = np.square(wave[:whole]).reshape(-1, _STEP).mean(axis=1)
    smooth = np.convolve(powers, np.full(_SMOOTH, 1 / _SMOOTH), "same")
    speech = speech_level(wave) ** 2
    quietest = max(float(np.percentile(smooth, 5)) if len(smooth) else 0.0, speech * _UNDER)
    loud = np.flatnonzero(smooth > np.sqrt(speech * quietest)) * _STEP
    return _joined([(at, at + _STEP) for at in loud.tolist()])


def _joined(found: Sequence[Stretch]) -> list[Stretch]:
    """Join stretches with little silence between them."""
    joined: list[Stretch] = []
    for low, high in found:
        if joined and low - joined[-1][1] < _PAUSE:
            joined[-1] = joined[-1][0], high
        else:
            joined.append((low, high))
    return joined

"""What the audio stage learns from: which clips, how often, and in which versions."""

from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer.errors import UserError
from streamer_models.encoders.leaf_cnn import RECEPTIVE_FIELD
from tools.data.augmentation import Recipe
from tools.data.cache import DEFAULT_CACHE, DecodedClips
from tools.data.manifest import Clip
from tools.training.tasks.energies import Energies, live_augmentation, open_energies

LABELS = ("angry", "happy", "sad", "neutral")
EMOTIONS = (*LABELS, "fearful", "disgust", "surprised", "calm", "boredom")
"""What the stage's own classifier tells apart while it learns; the first four are what it is for."""

NONE = -1
"""In place of a label that a clip does not have."""

_FLOOR = float(np.log(1e-5))


@dataclass(frozen=True)
class Selection:
    """Whom a training learns from.

    Attributes:
        parts: Of the manifest.
        apart: Speakers left out all the same.
    """

    parts: tuple[str, ...] = ("train",)
    apart: frozenset[str] = frozenset()

    def places(self, clips: Sequence[Clip]) -> list[int]:
        """Return the places of the clips to learn from, among all of a manifest."""
        return [i for i in training_clips(clips, self.parts) if clips[i].speaker not in self.apart]


@dataclass(frozen=True)
class Targets:
    """What is to be learnt of each clip of a manifest: int64 [clips], `NONE` where unknown."""

    emotion: NDArray[np.int64]
    speaker: NDArray[np.int64]
    speakers: int

    @classmethod
    def of(cls, clips: Sequence[Clip], train: Sequence[int]) -> "Targets":
        """Return emotions of all clips; speakers of those to train on."""
        emotion = np.full(len(clips), NONE, np.int64)
        speaker = np.full(len(clips), NONE, np.int64)
        names: dict[str, int] = {}
        for index, clip in enumerate(clips):
            label = clip.emotion4 or clip.emotion
            if label in EMOTIONS:
                emotion[index] = EMOTIONS.index(label)
        for index in train:
            speaker[index] = names.setdefault(clips[index].speaker, len(names))
        return cls(emotion, speaker, len(names))


@dataclass(frozen=True)
class Batch:
    """Clips cut to one length.

    Attributes:
        logarithms: float32 [B, bands, F], natural logarithms of LEAF's energies.
        emotion: int64 [B], index into `EMOTIONS` or `NONE`.
        speaker: int64 [B].
    """

    logarithms: Tensor
    emotion: Tensor
    speaker: Tensor


def training_clips(clips: Sequence[Clip], parts: Collection[str] = ("train",)) -> list[int]:
    """Return the places of the clips to train on: speech of the training part, or of several.

    Raises:
        UserError: There is none with a label.
    """
    places = [i for i, clip in enumerate(clips) if clip.is_speech and clip.split in parts]
    if not any(clips[i].emotion4 for i in places):
        raise UserError("the manifest has no labelled clips to train on")
    return places


def development_clips(clips: Sequence[Clip]) -> list[int]:
    """Return the places of the clips to choose by: labelled speech of the development part.

    Raises:
        UserError: There is none.
    """
    places = [i for i, clip in enumerate(clips) if clip.emotion4 in LABELS and clip.split == "dev"]
    if not places:
        raise UserError("the manifest has no labelled clips in its dev part")
    return places


def open_versions(
    speech: DecodedClips,
    *,
    copies: int,
    seed: int,
    cache: Path = DEFAULT_CACHE,
    parts: Collection[str] = ("train",),
) -> list[Energies]:
    """Return the clips as recorded (train and dev), then `copies` augmented versions of those to train on."""
    train, dev = training_clips(speech.clips, parts), development_clips(speech.clips)
    recipe = Recipe()
    augmentation = live_augmentation(speech, seed, recipe)
    key: dict[str, object] = {"recipe": asdict(recipe), "seed": seed}
    versions = [
        open_energies(
            speech, sorted({*train, *dev}), copy=0, augmentation=None, key={}, cache=cache
        )
    ]
    augmented = range(1, copies + 1)
    return versions + [
        open_energies(speech, train, copy=copy, augmentation=augmentation, key=key, cache=cache)
        for copy in augmented
    ]


def balanced_weights(
    clips: Sequence[Clip], train: Sequence[int], *, unlabelled: float
) -> NDArray[np.float64]:
    """Return how often each training clip is drawn, [len(train)], summing to 1.

    Corpora by the square root of their size, less where fewer than four speakers stand for it; within a corpus its
    emotions equally, those outside `LABELS` half as often; within an emotion its speakers equally.

    Args:
        clips: The manifest.
        train: Places of the clips to train on.
        unlabelled: The share of clips without any emotion, which teach speakers only.
    """
    cells = [(clips[i].corpus, clips[i].emotion, clips[i].speaker) for i in train]
    corpora = Counter(corpus for corpus, _, _ in cells)
    emotions = {corpus: len({e for c, e, _ in cells if c == corpus}) for corpus in corpora}
    pairs = {(corpus, emotion) for corpus, emotion, _ in cells}
    speakers = {pair: len({s for c, e, s in cells if (c, e) == pair}) for pair in pairs}
    size = Counter(cells)
    people = {corpus: len({s for c, _, s in cells if c == corpus}) for corpus in corpora}
    four = {(clips[i].corpus, clips[i].emotion) for i in train if clips[i].emotion4}
    weights = np.array(
        [
            corpora[corpus] ** 0.5
            * min(1.0, people[corpus] / 4)
            * (1.0 if (corpus, emotion) in four else 0.5)
            / (emotions[corpus] * speakers[corpus, emotion] * size[corpus, emotion, speaker])
            for corpus, emotion, speaker in cells
        ]
    )
    silent = np.array([not emotion for _, emotion, _ in cells])
    if silent.any() and not silent.all():
        weights[silent] *= unlabelled / weights[silent].sum()
        weights[~silent] *= (1 - unlabelled) / weights[~silent].sum()
    return np.asarray(weights / weights.sum())


@dataclass(frozen=True)
class Sampler:
    """Draws the batches of an epoch; equal for equal seed and epoch.

    Attributes:
        versions: Of the clips; the first is the clips as recorded.
        train: Places of the clips to train on.
        weights: How often each is drawn, [len(train)].
        targets: What is to be learnt.
        longest: Frames to which clips are cut.
    """

    versions: Sequence[Energies]
    train: NDArray[np.int64]
    weights: NDArray[np.float64]
    targets: Targets
    longest: int

    def epoch(
        self, seed: int, epoch: int, *, clips: int, batch: int, clean: float
    ) -> Iterator[Batch]:
        """Yield batches of clips of similar length, each cut at random to the shortest of its batch.

        Args:
            seed: Of the training.
            epoch: Number of the epoch.
            clips: How many are drawn.
            batch: Clips in a batch.
            clean: The share of draws from the first version.
        """
        rng = np.random.default_rng((seed, epoch, 1))
        drawn = rng.choice(self.train, size=clips, p=self.weights)
        copies = rng.integers(1, max(2, len(self.versions)), size=clips)
        copies[(rng.random(clips) < clean) | (len(self.versions) == 1)] = 0
        lengths = np.array([self.versions[v].frames(c) for v, c in zip(copies, drawn, strict=True)])
        order = np.argsort(lengths * rng.uniform(0.9, 1.1, size=clips), kind="stable")
        batches = np.array_split(order, max(1, clips // batch))
        for index in rng.permutation(len(batches)):
            members = batches[index]
            shortest = int(np.clip(lengths[members].min(), RECEPTIVE_FIELD, self.longest))
            pieces = [_cut(self.versions[copies[i]].of(drawn[i]), shortest, rng) for i in members]
            logarithms = torch.from_numpy(np.stack(pieces).astype(np.float32)).transpose(1, 2)
            yield Batch(
                logarithms.contiguous(),
                torch.from_numpy(self.targets.emotion[drawn[members]]),
                torch.from_numpy(self.targets.speaker[drawn[members]]),
            )


def _cut(frames: NDArray[np.float16], length: int, rng: np.random.Generator) -> NDArray[np.float16]:
    """Return a random stretch of `length` frames; a shorter clip has silence behind it."""
    spare = len(frames) - length
    if spare < 0:
        return np.pad(frames, ((0, -spare), (0, 0)), constant_values=_FLOOR)
    start = int(rng.integers(spare + 1))
    return frames[start : start + length]

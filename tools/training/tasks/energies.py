"""What LEAF's untrained filters make of all clips, several times over, kept on disk.

The filters of LEAF hardly move in training (Meng et al., "What is learnt by the LEArnable Front-end (LEAF)?", 2024);
what learns is the compression behind them. So the expensive half of the front end is done once for each version of a
clip: as recorded, and augmented in several ways. Training then begins at the energies.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from streamer_models.encoders.leaf_cnn import LeafCnn, LeafCnnConfig
from tools.data.augmentation import Augmentation, Recipe, Wave, synthetic_room
from tools.data.cache import DEFAULT_CACHE, DecodedClips, publish
from tools.progress import progress

VERSION = 1
"""Of what is computed here: a new number renews caches."""

_BATCH = 32
_ROOMS = 40


@dataclass(frozen=True)
class Energies:
    """One version of some of the clips of a manifest.

    Attributes:
        offsets: int64 [clips + 1]; clip i has the frames offsets[i]:offsets[i + 1], none where it was left out.
        logarithms: float16 [frames, bands], natural logarithms of LEAF's energies; memory-mapped.
    """

    offsets: NDArray[np.int64]
    logarithms: NDArray[np.float16]

    def frames(self, clip: int) -> int:
        """Return the frames of one clip."""
        return int(self.offsets[clip + 1] - self.offsets[clip])

    def of(self, clip: int) -> NDArray[np.float16]:
        """Return the logarithms of one clip, [frames, bands]."""
        return self.logarithms[self.offsets[clip] : self.offsets[clip + 1]]


def live_augmentation(
    speech: DecodedClips, seed: int, recipe: Recipe | None = None
) -> Augmentation:
    """Return augmentation with the manifest's own noises and rooms (training part), and rooms made up."""
    places = [
        i for i, clip in enumerate(speech.clips) if not clip.is_speech and clip.split == "train"
    ]
    is_room = {i: speech.clips[i].speaker.endswith("_rir") for i in places}
    rng = np.random.default_rng((seed, 77))
    rooms = [speech.wave(i) for i in places if is_room[i]]
    rooms += [synthetic_room(rng.uniform(0.15, 0.9), rng) for _ in range(_ROOMS)]
    return Augmentation(
        [speech.wave(i) for i in places if not is_room[i]], rooms, recipe, seed=seed
    )


def open_energies(
    speech: DecodedClips,
    clips: Sequence[int],
    *,
    copy: int,
    augmentation: Augmentation | None,
    key: dict[str, object],
    cache: Path = DEFAULT_CACHE,
) -> Energies:
    """Open one version of some clips, computing it where that was not done yet.

    Args:
        speech: The decoded clips.
        clips: Which of them.
        copy: The number of the version; the `epoch` of the augmentation's key.
        augmentation: Applied to each clip; None for the clips as they are.
        key: All else that the version depends on.
        cache: Where versions are kept.
    """
    config = LeafCnnConfig()
    whole = {
        "speech": speech.sha256,
        "clips": list(clips),
        "leaf": config.leaf.model_dump(),
        "version": VERSION,
        "copy": copy,
        "augmented": augmentation is not None,
        **key,
    }
    name = hashlib.sha256(json.dumps(whole, sort_keys=True).encode()).hexdigest()[:16]
    place = cache / f"energies-{name}"
    bands = config.leaf.filters
    if not place.is_dir():
        partial = place.with_name(f"{place.name}.{os.getpid()}.partial")
        partial.mkdir(parents=True)
        try:
            offsets, logarithms = _compute(speech, clips, copy, augmentation, LeafCnn(config))
            logarithms.tofile(partial / "logarithms.f16")
            offsets.tofile(partial / "offsets.i64")
            publish(partial, place)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    offsets = np.fromfile(place / "offsets.i64", np.int64)
    shape = (int(offsets[-1]), bands)
    return Energies(offsets, np.memmap(place / "logarithms.f16", np.float16, mode="r", shape=shape))


@torch.inference_mode()
def _compute(
    speech: DecodedClips,
    clips: Sequence[int],
    copy: int,
    augmentation: Augmentation | None,
    encoder: LeafCnn,
) -> tuple[NDArray[np.int64], NDArray[np.float16]]:
    def version(clip: int) -> Wave:
        wave = speech.wave(clip)
        return wave if augmentation is None else augmentation(wave, epoch=copy, clip=clip)

    lengths = speech.offsets[1:] - speech.offsets[:-1]
    order = sorted(clips, key=lambda clip: int(lengths[clip]))
    batches = [order[start : start + _BATCH] for start in range(0, len(order), _BATCH)]
    parts: dict[int, NDArray[np.float16]] = {}
    for batch in progress(batches, f"Energies, version {copy}"):
        waves = [torch.from_numpy(version(clip)) for clip in batch]
        sizes = torch.tensor([len(wave) for wave in waves])
        padded = torch.nn.utils.rnn.pad_sequence(waves, batch_first=True)
        energies, frames = encoder.energies(padded, sizes)
        logarithms = energies.log().transpose(1, 2).half().numpy()
        for row, clip in enumerate(batch):
            parts[clip] = logarithms[row, : int(frames[row])].copy()
    counts = [len(parts[clip]) if clip in parts else 0 for clip in range(len(lengths))]
    empty = np.zeros((0, encoder.config.leaf.filters), np.float16)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    return offsets, np.concatenate([empty, *(parts[clip] for clip in sorted(parts))])

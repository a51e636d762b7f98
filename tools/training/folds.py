"""The training part in folds, and its embeddings as if no encoder had seen it.

An encoder knows the clips and texts that it was trained on: their embeddings are better than any will be later, and a
fusion that learns from them trusts too much. So those of a fold come from an encoder that was trained without it,
mapped linearly into the space of the final encoder (the idea of stacking: Wolpert, Neural Networks 5, 1992).
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tools.data.conversations import TextDialogue
from tools.data.manifest import Clip
from tools.training.alignment import linear_map

_ALIGNED_ON = 3
"""The map between two encoders' spaces is found from each so many-th of the rows that both were trained on."""

Encoder = TypeVar("Encoder")


def without(fold: int) -> str:
    """The folder, within that of a stage, of the encoder that has not seen a fold."""
    return f"without-{fold}"


def speaker_folds(clips: Sequence[Clip], count: int) -> NDArray[np.int64]:
    """The fold of each clip, [n]: all clips of a speaker in one, each corpus and sex spread over all."""
    people = sorted({(clip.corpus, clip.gender, clip.speaker) for clip in clips})
    homes = Counter[str]()
    folds: dict[str, int] = {}
    for corpus, _, speaker in people:
        if speaker not in folds:
            folds[speaker] = homes[corpus] % count
            homes[corpus] += 1
    return np.array([folds[clip.speaker] for clip in clips], np.int64)


def dialogue_folds(dialogues: Sequence[TextDialogue], count: int) -> NDArray[np.int64]:
    """The fold of each dialogue, [n]: those of each set in turn."""
    met = Counter[str]()
    folds = []
    for dialogue in dialogues:
        folds.append(met[dialogue.corpus] % count)
        met[dialogue.corpus] += 1
    return np.array(folds, np.int64)


def learnt_from(folds: NDArray[np.int64], apart: int) -> NDArray[np.int64]:
    """The places of what the later stages learn from: of the first `apart` folds, or everything if that is 0."""
    return np.flatnonzero((folds < apart) | (apart == 0))


def as_if_unseen(
    final: Encoder,
    apart: Sequence[Encoder],
    embed: Callable[[Encoder, int, NDArray[np.int64]], Tensor],
    folds: NDArray[np.int64],
    versions: int,
) -> Tensor:
    """Embeddings [versions, m, D] of those m of n rows of the training part that `learnt_from` gives.

    Args:
        final: The encoder in whose space they are.
        apart: For each of the first folds the encoder that was trained without it; none: `final` embeds what it knows.
        embed: Encoder, number of the version and places [k] of rows -> embeddings [k, D].
        folds: The fold of each row, [n].
        versions: Of which the first is the true one.
    """
    rows = learnt_from(folds, len(apart))
    if not apart:
        return torch.stack([embed(final, version, rows) for version in range(versions)])
    parts, places = [], []
    for fold, encoder in enumerate(apart):
        held = np.flatnonzero(folds == fold)
        known = np.flatnonzero(folds != fold)[::_ALIGNED_ON]
        into = linear_map(embed(encoder, 0, known), embed(final, 0, known))
        parts.append(
            torch.stack([into(embed(encoder, version, held)) for version in range(versions)])
        )
        places.append(held)
    order = np.argsort(np.concatenate(places))
    return torch.cat(parts, dim=1)[:, order]

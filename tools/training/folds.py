"""The training part in folds, and embeddings of each fold by encoders that were trained without it.

An encoder knows the examples that it was trained on: their embeddings are better than any will be later, and a fusion
that learns from them trusts too much. So those of a fold come from an encoder trained without it, mapped linearly into
the space of the final encoder (stacked generalisation: Wolpert, Neural Networks 5, 1992).
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from tools.data.conversations import TextDialogue
from tools.data.manifest import Clip

ANCHOR_STEP = 3
"""The map between the spaces of two encoders is fitted on every third of the examples that both were trained on."""
_RIDGE = 1e-2
"""Strength of the ridge penalty, as a share of the mean variance."""


Encoder = TypeVar("Encoder")


@dataclass(frozen=True)
class FoldEmbeddings:
    """Embeddings by an encoder that was trained without one fold.

    Attributes:
        places: Rows of the fold among all N, int64 [m].
        own: Embeddings of these, [versions, m, D].
        anchors: Rows that both encoders were trained on, int64 [k].
        shared: Embeddings of these, [k, D].
    """

    places: Tensor
    own: Tensor
    anchors: Tensor
    shared: Tensor


def out_of_fold(final: Tensor, folds: Iterable[FoldEmbeddings]) -> Tensor:
    """Map the folds' embeddings into the space of the final encoder.

    Args:
        final: Embeddings of all rows by the final encoder, [versions or 1, N, D]; version 0 is the unaltered one.
        folds: Each row of theirs replaces that of `final`.

    Returns:
        [versions, N, D].
    """
    result = final
    for fold in folds:
        into = linear_map(fold.shared, final[0, fold.anchors])
        result = result.expand(len(fold.own), -1, -1).index_copy(1, fold.places, into(fold.own))
    return result


def linear_map(source: Tensor, target: Tensor) -> Callable[[Tensor], Tensor]:
    """Return the affine map of vectors [..., D] that takes `source` [n, D] nearest to `target`, by ridge regression."""
    middle, goal = source.double().mean(0), target.double().mean(0)
    x, y = source.double() - middle, target.double() - goal
    square = x.T @ x
    ridge = _RIDGE * square.diagonal().mean().clamp(min=1e-9) * torch.eye(len(square))
    weights = torch.linalg.solve(square + ridge, x.T @ y)
    return lambda vectors: ((vectors.double() - middle) @ weights + goal).float()


def without(fold: int) -> str:
    """Return the folder, within that of a stage, of the encoder that has not seen a fold."""
    return f"without-{fold}"


def speaker_folds(clips: Sequence[Clip], count: int) -> NDArray[np.int64]:
    """Return the fold of each clip, [n]: all clips of a speaker in one, each corpus and sex spread over all."""
    people = sorted({(clip.corpus, clip.gender, clip.speaker) for clip in clips})
    homes = Counter[str]()
    folds: dict[str, int] = {}
    for corpus, _, speaker in people:
        if speaker not in folds:
            folds[speaker] = homes[corpus] % count
            homes[corpus] += 1
    return np.array([folds[clip.speaker] for clip in clips], np.int64)


def dialogue_folds(dialogues: Sequence[TextDialogue], count: int) -> NDArray[np.int64]:
    """Return the fold of each dialogue, [n]: those of each set in turn."""
    met = Counter[str]()
    folds = []
    for dialogue in dialogues:
        folds.append(met[dialogue.corpus] % count)
        met[dialogue.corpus] += 1
    return np.array(folds, np.int64)


def learnt_from(folds: NDArray[np.int64], apart: int) -> NDArray[np.int64]:
    """Return the places of what the later stages learn from: of the first `apart` folds, or everything if that is 0."""
    return np.flatnonzero((folds < apart) | (apart == 0))


def embed_out_of_fold(
    final: Encoder,
    apart: Sequence[Encoder],
    embed: Callable[[Encoder, int, NDArray[np.int64]], Tensor],
    folds: NDArray[np.int64],
    versions: int,
) -> Tensor:
    """Return embeddings [versions, m, D] of those m of n rows that `learnt_from` gives.

    Args:
        final: The encoder in whose space they are.
        apart: For each of the first folds the encoder trained without it; none: `final` embeds what it knows.
        embed: Encoder, number of the version and places [k] of rows -> embeddings [k, D].
        folds: The fold of each row, [n].
        versions: Number of versions; the first is the unaltered one.
    """
    rows = learnt_from(folds, len(apart))
    if not apart:
        return torch.stack([embed(final, version, rows) for version in range(versions)])
    anchors = [np.flatnonzero(folds != fold)[::ANCHOR_STEP] for fold in range(len(apart))]
    known = np.unique(np.concatenate(anchors))
    embedded = embed(final, 0, known)
    target = torch.zeros(1, len(folds), embedded.shape[-1])
    target[0, torch.from_numpy(known)] = embedded
    parts = []
    for fold, encoder in enumerate(apart):
        held = np.flatnonzero(folds == fold)
        own = torch.stack([embed(encoder, version, held) for version in range(versions)])
        shared = embed(encoder, 0, anchors[fold])
        places = (torch.from_numpy(held), own, torch.from_numpy(anchors[fold]), shared)
        parts.append(FoldEmbeddings(*places))
    return out_of_fold(target, parts)[:, torch.from_numpy(rows)]

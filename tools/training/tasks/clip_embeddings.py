"""The audio embeddings of clips, in several versions: what the later stages learn from in place of sound."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer_models.encoders.leaf_cnn import LeafCnn
from tools.progress import progress
from tools.training.tasks.energies import Energies

SHORTEST, LONGEST_SHORT = 12, 45
"""Frames (30 ms) of the stretches that stand for short utterances."""

_BATCH = 32


@torch.no_grad()
def embed_clips(
    encoder: LeafCnn,
    energies: Energies,
    clips: Sequence[int],
    *,
    short: np.random.Generator | None = None,
) -> Tensor:
    """Return embeddings of clips, float32 [n, D], as the running program computes them.

    Args:
        encoder: In evaluation mode.
        energies: A version of the clips.
        clips: Their places in it.
        short: Where given, a random stretch of 0.4 to 1.3 s stands for each clip.
    """
    pieces: list[NDArray[np.float16]] = [energies.of(clip) for clip in clips]
    if short is not None:
        pieces = [_stretch(piece, short) for piece in pieces]
    rows = torch.zeros(len(clips), encoder.config.embedding)
    order = sorted(range(len(pieces)), key=lambda i: len(pieces[i]))
    for first in progress(range(0, len(order), _BATCH), f"Embedding {len(clips)} clips"):
        places = order[first : first + _BATCH]
        batch = [torch.from_numpy(pieces[i].astype(np.float32)).exp() for i in places]
        padded = torch.nn.utils.rnn.pad_sequence(batch, batch_first=True)
        frames = torch.tensor([len(piece) for piece in batch])
        rows[places] = encoder.from_energies(padded.transpose(1, 2), frames).float()
    return rows


def _stretch(piece: NDArray[np.float16], rng: np.random.Generator) -> NDArray[np.float16]:
    """Return a stretch from the middle half of a clip, where there is speech."""
    length = min(len(piece), int(rng.integers(SHORTEST, LONGEST_SHORT)))
    low, high = len(piece) // 4, max(len(piece) // 4, 3 * len(piece) // 4 - length)
    start = min(int(rng.integers(low, high + 1)), len(piece) - length)
    return piece[start : start + length]

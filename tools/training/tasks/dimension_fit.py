"""The head of valence and arousal, fitted on frozen embeddings.

Few recordings have ratings, so most targets are the places of the categories in the plane of Russell (1980), drawn
towards its middle by listeners' doubt; texts rated by readers stand beside them.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from streamer_models.heads.dimensions import DimensionHead, concordance_loss

PLANE: Mapping[str, tuple[float, float]] = {
    "angry": (-0.6, 0.7),
    "happy": (0.7, 0.5),
    "sad": (-0.6, -0.4),
    "neutral": (0.0, -0.1),
}
"""Valence and arousal of each label, in [-1, 1]."""

_STEPS = 400


def targets_of(probabilities: Tensor, labels: Sequence[str]) -> Tensor:
    """Return the expected valence and arousal [n, 2] under probabilities [n, classes]."""
    return probabilities @ torch.tensor([PLANE[label] for label in labels])


def fit_dimensions(
    audio: Tensor, of_audio: Tensor, text: Tensor, of_text: Tensor, *, seed: int
) -> DimensionHead:
    """Fit the head on audio alone, text alone, and pairs of the same target.

    Args:
        audio: Embeddings [n, D].
        of_audio: Their targets [n, 2].
        text: Embeddings [m, D].
        of_text: Their targets [m, 2].
        seed: Of initial weights and pairs.
    """
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    nearest = _nearest(of_audio, of_text, generator)
    inputs = torch.cat(
        [
            torch.cat([audio, torch.zeros_like(audio)], dim=1),
            torch.cat([torch.zeros_like(text), text], dim=1),
            torch.cat([audio, text[nearest]], dim=1),
        ]
    )
    wanted = torch.cat([of_audio, of_text, (of_audio + of_text[nearest]) / 2])
    head = DimensionHead(inputs.shape[1], 2)
    optimizer = torch.optim.AdamW(head.parameters(), 0.01, weight_decay=0.05)
    for _ in range(_STEPS):
        loss = concordance_loss(head(inputs), wanted, torch.ones(2))
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return head.eval()


def _nearest(targets: Tensor, others: Tensor, generator: torch.Generator) -> Tensor:
    """Return, for each target [n, 2], the place of a near one among some others drawn at random, int64 [n]."""
    drawn = torch.randint(len(others), (len(targets), 64), generator=generator)
    distances = (others[drawn] - targets[:, None]).square().sum(dim=-1)
    return drawn.gather(1, distances.argmin(dim=1, keepdim=True))[:, 0]

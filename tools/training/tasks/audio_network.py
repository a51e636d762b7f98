"""What the audio stage trains: the encoder, its classifiers, and how energies are varied while it learns."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn.functional import grid_sample

from streamer_models.encoders.leaf_cnn import RECEPTIVE_FIELD, LeafCnn
from tools.training.precision import reduced_precision
from tools.training.tasks.audio_data import EMOTIONS, LABELS

_DB = math.log(10) / 10
"""One decibel in natural logarithms of energy."""


class AudioNetwork(nn.Module):
    """The encoder with a classifier of emotions and one of speakers on its embedding."""

    def __init__(self, encoder: LeafCnn, speakers: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        size = encoder.config.embedding
        self.dropout = nn.Dropout(dropout)
        self.emotion = nn.Linear(size, len(EMOTIONS))
        self.speaker = nn.Linear(size, max(1, speakers))

    def forward(self, energies: Tensor, masks: "Masks | None" = None) -> tuple[Tensor, Tensor]:
        """Map energies [B, bands, F], all valid -> logits of emotions [B, 9] and speakers [B, S]."""
        features = self.encoder.leaf.compress(energies)
        if masks is not None:
            features = masks(features)
        with reduced_precision():
            embedding = self.encoder.cnn(features)
        embedding = self.dropout(embedding.float())
        return self.emotion(embedding), self.speaker(embedding)

    def head(self) -> nn.Linear:
        """Return the classifier of `LABELS` alone: embedding [B, 100] -> logits [B, 4]."""
        head = nn.Linear(self.emotion.in_features, len(LABELS))
        with torch.no_grad():
            head.weight.copy_(self.emotion.weight[: len(LABELS)])
            head.bias.copy_(self.emotion.bias[: len(LABELS)])
        return head


@dataclass(frozen=True, slots=True)
class Masks:
    """Stretches of time and of bands blanked out (SpecAugment: Park et al., Interspeech 2019)."""

    bands: int = 6
    frames: int = 10
    each: int = 1

    def __call__(self, features: Tensor) -> Tensor:
        """Return features [B, bands, F] with up to `each` masks of either kind, filled with the clip's mean."""
        mean = features.mean(dim=(1, 2), keepdim=True)
        for axis, widest in ((1, self.bands), (2, self.frames)):
            size = features.shape[axis]
            place = torch.arange(size)
            for _ in range(self.each):
                width = torch.rand(len(features), 1) * min(widest, size / 4)
                start = torch.rand(len(features), 1) * (size - width)
                hidden = (place >= start) & (place < start + width)
                features = torch.where(hidden.unsqueeze(3 - axis), mean, features)
        return features


@dataclass(frozen=True, slots=True)
class Variation:
    """Cheap variety on the energies themselves: tempo, voice height, loudness, microphone, steady noise."""

    tempo: float = 0.1
    shift: float = 0.6
    """Bands by which the spectrum is moved at most."""
    warp: float = 0.04
    gain_db: float = 10.0
    colour_db: float = 3.0
    noise: float = 0.15
    """The share of clips that get a steady noise."""

    def __call__(self, logarithms: Tensor, floor: float, strength: float = 1.0) -> Tensor:
        """Vary clips, each in its own way.

        Args:
            logarithms: Natural logarithms of energies [B, bands, F].
            floor: The lowest of them.
            strength: 0 to 1, a factor of all widths.

        Returns:
            [B, bands, F' <= F].
        """
        batch, bands, frames = logarithms.shape
        kept = max(min(RECEPTIVE_FIELD, frames), int(frames / (1 + self.tempo)))
        scale = 1 + _spread(self.tempo * strength, batch, 1)
        spare = (frames - 1 - scale * (kept - 1)).clamp(min=0)
        time = torch.arange(kept) * scale + torch.rand(batch, 1) * spare
        band = torch.arange(bands) * (1 + _spread(self.warp * strength, batch, 1)) + _spread(
            self.shift, batch, 1
        )
        grid = torch.stack(
            torch.broadcast_tensors(  # type: ignore[no-untyped-call]
                (2 * time / (frames - 1) - 1)[:, None, :], (2 * band / (bands - 1) - 1)[:, :, None]
            ),
            dim=-1,
        )
        varied = grid_sample(logarithms[:, None], grid, padding_mode="border", align_corners=True)[
            :, 0
        ]
        place = torch.linspace(0, math.pi, bands)
        colour = sum(
            torch.randn(batch, 1) * torch.cos(order * place) * (self.colour_db * strength / order)
            for order in (1, 2, 3)
        )
        varied = varied + (colour + _spread(self.gain_db * strength, batch, 1))[..., None] * _DB
        loudest = varied.amax(dim=(1, 2)) - torch.empty(batch).uniform_(15, 50) * _DB
        loudest[torch.rand(batch) >= self.noise * strength] = -math.inf
        steady = loudest[:, None, None] + 0.3 * torch.randn_like(varied)
        return torch.logaddexp(varied, steady).clamp(min=floor)


def _spread(width: float, *shape: int) -> Tensor:
    """Return a draw that is uniform within -width to width."""
    return torch.empty(*shape).uniform_(-width, width)

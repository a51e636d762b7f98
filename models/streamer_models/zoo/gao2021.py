"""Gao et al., "Domain-adversarial autoencoder with attention based feature level fusion for [SER]" (ICASSP 2021).

Segments of 265 ms have two representations: an autoencoder's code R_l, and a convolutional network's R_d
that is trained against speaker and corpus by gradient reversal. R_f = FC([R_l; R_d]); attention with queries R_d, keys
R_l and values R_f; a BLSTM over the segments classifies.

Deviations: log-mel frames of this package, 9 of 30 ms to a segment, or 3 of 100 ms of Whisper's encoder; the weights a,
b, lambda, which the paper does not tell, are 0.1, 0.5, 0.1. The published protocol splits utterances at random; ours
holds speakers out.
"""

from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.autograd import Function

from streamer_models.config import Heads, TextConfig, Width
from streamer_models.layers.cross_attention import CrossAttention
from streamer_models.layers.pooling import statistics
from streamer_models.layers.recurrent import BiGru
from streamer_models.sequences import Sequences, Utterances
from streamer_models.zoo.base import Targets, UtteranceConfig, UtteranceSystem

Domains = Annotated[int, Field(ge=0, le=100_000)]
Share = Annotated[float, Field(ge=0, le=100)]


class Gao2021Config(UtteranceConfig):
    """Sizes of the representations."""

    text: TextConfig | None = None
    segment: Annotated[int, Field(ge=1, le=200)] = 9
    """Frames of a segment."""
    width: Width = 128
    heads: Heads = 4
    speakers: Domains = 0
    """Speakers and corpora of the training; 0: without their classifiers."""
    corpora: Domains = 0
    adversarial: Share = 0.1
    """lambda."""
    speaker_share: Annotated[float, Field(ge=0, le=1)] = 0.5
    """b."""
    reconstruction: Share = 0.1
    """1 / a: weight of the autoencoder's loss beside the others."""

    @model_validator(mode="after")
    def _divisible(self) -> "Gao2021Config":
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        return self


class Gao2021(UtteranceSystem):
    """Three representations of each segment, fused by attention."""

    name: ClassVar = "gao2021"
    config_class: ClassVar = Gao2021Config

    def __init__(self, config: Gao2021Config) -> None:
        super().__init__(config)
        inputs, width = config.segment * config.sizes[0], config.width
        self.encode = nn.Sequential(nn.Linear(inputs, width), nn.ReLU(), nn.Linear(width, width))
        self.decode = nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, inputs))
        self.deep = nn.Sequential(
            nn.Conv1d(config.sizes[0], width, 3, padding=1),
            nn.ReLU(),
            nn.Conv1d(width, width, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )
        self.join = nn.Linear(2 * width, width)
        self.attention = CrossAttention(width, config.heads)
        self.recurrent = BiGru(width, width // 2 or 1, 1)
        self.speaker = nn.Linear(width, config.speakers) if config.speakers else None
        self.corpus = nn.Linear(width, config.corpora) if config.corpora else None
        self.add_heads(4 * (width // 2 or 1))

    def fused(self, batch: Utterances) -> Tensor:
        """Return mean and deviation over the segments, [B, 4 * (width // 2)]."""
        segments = segmented(batch.audio, self.config.segment)
        low, deep = self.representations(segments.values)
        joined = torch.relu(self.join(torch.cat([low, deep], dim=-1)))
        mixed = self._fuse(low, deep, joined, segments.mask)
        outputs, _ = self.recurrent(mixed, segments.mask.sum(1).clamp(min=1).cpu())
        return statistics(outputs.flatten(2), segments.mask)

    def representations(self, segments: Tensor) -> tuple[Tensor, Tensor]:
        """Return R_l and R_d, [B, S, width] each, of segments [B, S, frames * bands]."""
        bands = self.config.sizes[0]
        images = segments.reshape(-1, self.config.segment, bands).transpose(1, 2)
        deep = self.deep(images).view(*segments.shape[:2], -1)
        return self.encode(segments), deep

    def loss(self, batch: Utterances, targets: Targets) -> Tensor:
        """Return emotion, reconstruction, and speaker and corpus behind the gradient's reversal."""
        loss = super().loss(batch, targets)
        segments = segmented(batch.audio, self.config.segment)
        low, deep = self.representations(segments.values)
        real = segments.mask[..., None]
        error = (self.decode(low) - segments.values).square().masked_fill(~real, 0)
        count = (real.sum() * segments.values.shape[-1]).clamp(min=1)
        loss += self.config.reconstruction * error.sum() / count
        reversed_ = reverse_gradient(statistics(deep, segments.mask)[:, : self.config.width])
        share = self.config.speaker_share
        for head, domain, weight in (
            (self.speaker, targets.speakers, share),
            (self.corpus, targets.corpora, 1 - share),
        ):
            if head is not None and domain is not None:
                entropy = nn.functional.cross_entropy(head(reversed_), domain)
                loss += self.config.adversarial * weight * entropy
        return loss

    def _fuse(self, low: Tensor, deep: Tensor, joined: Tensor, mask: Tensor) -> Tensor:
        """Attend with queries of R_d, keys of R_l and values of R_f."""
        attention = self.attention
        weights = attention.weights(deep, low, mask)
        mixed = weights @ attention.split(attention.value(joined))
        out: Tensor = attention.out(mixed.transpose(1, 2).flatten(2))
        return out


def segmented(audio: Sequences, frames: int) -> Sequences:
    """Join frames [B, T, D] to segments [B, ceil(T / frames), frames * D], the last one filled up with zeros."""
    values = audio.values.masked_fill(~audio.mask[..., None], 0)
    missing = -values.shape[1] % frames
    values = nn.functional.pad(values, (0, 0, 0, missing))
    mask = nn.functional.pad(audio.mask, (0, missing)).view(len(values), -1, frames).any(-1)
    return Sequences(values.reshape(len(values), -1, frames * values.shape[-1]), mask)


class _Reverse(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:  # noqa: ARG004 - torch's signature
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:  # noqa: ARG004
        return -gradient


def reverse_gradient(x: Tensor) -> Tensor:
    """Return the identity, whose gradient is the negative (Ganin et al., 2016)."""
    out: Tensor = _Reverse.apply(x)  # type: ignore[no-untyped-call]
    return out

"""Chen et al., "Key-sparse transformer for multimodal speech emotion recognition" (ICASSP 2022).

Transformer layers for each modality; a stack of cross-attention blocks (CCAB) whose keys and values are the other
modality's; self-attention; means over time. The attention is key-sparse: keys that all queries together attend to
least are dropped.

Deviations: both modalities are projected to one width. Padded keys are neither counted nor kept. `causal` is ours: the
sums run over past queries only, and a query of its own sequence attends to the past only.
"""

import math
from typing import Annotated, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from streamer_models.config import FeedForward, Heads, Width
from streamer_models.layers.cross_attention import CrossAttention
from streamer_models.layers.masking import masked_mean, masked_softmax
from streamer_models.sequences import Utterances
from streamer_models.zoo.base import UtteranceConfig, UtteranceSystem

Depth = Annotated[int, Field(ge=0, le=12)]


class Chen2022Config(UtteranceConfig):
    """Sizes; depths and sparsity are the paper's."""

    width: Width = 128
    heads: Heads = 8
    feed_forward: FeedForward = 256
    plain_layers: Depth = 5
    blocks: Depth = 3
    """Of the CCAB stack."""
    last_layers: Depth = 2
    keep: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of the keys that stay."""
    causal: bool = False

    @model_validator(mode="after")
    def _divisible(self) -> "Chen2022Config":
        if self.width % self.heads or self.width % 2:
            raise ValueError("width must be even and a multiple of heads")
        return self


class Chen2022(UtteranceSystem):
    """Two branches of key-sparse attention that look at each other."""

    name: ClassVar = "chen2022"
    config_class: ClassVar = Chen2022Config

    def __init__(self, config: Chen2022Config) -> None:
        super().__init__(config)
        audio, text, _ = config.sizes
        self.audio_branch = Branch(audio, config)
        self.text_branch = Branch(text, config)
        self.combine = nn.Sequential(
            nn.Linear(2 * config.width, config.width), nn.ReLU(), nn.Dropout(config.dropout)
        )
        self.add_heads(config.width)

    def fused(self, batch: Utterances) -> Tensor:
        """[B, width]."""
        audio_mask, text_mask = batch.audio.mask, batch.text.mask
        audio = self.audio_branch.begin(batch.audio.values, audio_mask)
        text = self.text_branch.begin(batch.text.values, text_mask)
        pooled = [
            masked_mean(self.audio_branch.end(audio, audio_mask, text, text_mask), audio_mask),
            masked_mean(self.text_branch.end(text, text_mask, audio, audio_mask), text_mask),
        ]
        out: Tensor = self.combine(torch.cat(pooled, dim=-1))
        return out


class Branch(nn.Module):
    """One modality: plain layers, the CCAB stack with its skip, key-sparse layers."""

    def __init__(self, inputs: int, config: Chen2022Config) -> None:
        super().__init__()
        self.causal = config.causal
        self.project = nn.Linear(inputs, config.width)
        plain = config.model_copy(update={"keep": 1.0})
        self.plain = nn.ModuleList(KeySparseLayer(plain) for _ in range(config.plain_layers))
        self.cross = nn.ModuleList(KeySparseLayer(config) for _ in range(config.blocks))
        self.inner = nn.ModuleList(KeySparseLayer(config) for _ in range(config.blocks))
        self.last = nn.ModuleList(KeySparseLayer(config) for _ in range(config.last_layers))

    def begin(self, x: Tensor, mask: Tensor) -> Tensor:
        """[B, T, inputs] -> [B, T, width], by the plain layers."""
        x = self.project(x)
        for layer in self.plain:
            x = layer(x, mask)
        return x

    def end(self, first: Tensor, mask: Tensor, other: Tensor, other_mask: Tensor) -> Tensor:
        """Add what the stack finds in the other modality, whose original vectors it always looks at."""
        x = first
        for cross, inner in zip(self.cross, self.inner, strict=True):
            x = cross(x, mask, other, other_mask)
            x = inner(x, mask)
        x = first + x if len(self.cross) else first
        for layer in self.last:
            x = layer(x, mask)
        return x


class KeySparseLayer(nn.Module):
    """Post-norm transformer layer with key-sparse attention; sinusoidal positions on queries and keys."""

    def __init__(self, config: Chen2022Config) -> None:
        super().__init__()
        self.keep, self.causal = config.keep, config.causal
        self.attention = CrossAttention(config.width, config.heads)
        self.norms = nn.ModuleList(nn.LayerNorm(config.width) for _ in range(2))
        self.feed_forward = nn.Sequential(
            nn.Linear(config.width, config.feed_forward),
            nn.ReLU(),
            nn.Linear(config.feed_forward, config.width),
        )
        self.dropout = nn.Dropout(0.1)

    def forward(
        self,
        x: Tensor,
        mask: Tensor,
        others: Tensor | None = None,
        others_mask: Tensor | None = None,
    ) -> Tensor:
        """Attend to another sequence, or to itself.

        Args:
            x: Queries [B, T, width].
            mask: Which of them are real, bool [B, T].
            others: Keys and values [B, S, width]; None: the queries.
            others_mask: Which of the others are real, bool [B, S].
        """
        attention = self.attention
        own = others is None
        others, known = (
            (x, mask) if others is None or others_mask is None else (others, others_mask)
        )
        query = attention.split(attention.query(x + positions(x)))
        key = attention.split(attention.key(others + positions(others)))
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        seen = known[:, None, None].expand_as(scores)
        if self.causal and own:
            seen = seen & torch.ones_like(scores, dtype=torch.bool).tril()
        weights = masked_softmax(scores, seen)
        kept = key_sparse(weights, seen, mask, self.keep, causal=self.causal)
        value = attention.split(attention.value(others))
        mixed = attention.out((kept @ value).transpose(1, 2).flatten(2))
        y = self.norms[0](x + self.dropout(mixed))
        out: Tensor = self.norms[1](y + self.dropout(self.feed_forward(y)))
        return out


def key_sparse(
    weights: Tensor, seen: Tensor, queries: Tensor, keep: float, *, causal: bool
) -> Tensor:
    """Drop the columns of keys that are attended to least, without normalising again.

    The sum of a key's column over the queries must reach that of the int(keep * keys)-th largest.

    Args:
        weights: Attention [B, heads, T, S], each row summing to 1.
        seen: Which keys each query may attend to, bool of the same shape.
        queries: Which queries are real, bool [B, T].
        keep: Share of the keys that stay; one at least.
        causal: Sums over the queries so far, and counts of the keys seen so far, instead of over all.

    Returns:
        The weights, zero in dropped columns.
    """
    if keep >= 1:
        return weights
    weights = weights * queries[:, None, :, None]
    sums = weights.cumsum(dim=2) if causal else weights.sum(dim=2, keepdim=True).expand_as(weights)
    known = seen if causal else seen.any(dim=2, keepdim=True).expand_as(seen)
    sums = sums.masked_fill(~known, -1.0)
    count = (known.sum(-1, keepdim=True) * keep).long().clamp(min=1)
    ordered = sums.sort(dim=-1, descending=True).values
    threshold = ordered.gather(-1, count - 1)
    return weights.masked_fill(sums < threshold, 0)


def positions(x: Tensor) -> Tensor:
    """Return sinusoids [T, width] (Vaswani et al., 2017)."""
    steps, width = x.shape[-2:]
    place = torch.arange(steps, dtype=x.dtype, device=x.device)[:, None]
    rate = torch.exp(
        torch.arange(0, width, 2, dtype=x.dtype, device=x.device) * (-math.log(10_000.0) / width)
    )
    return torch.stack([(place * rate).sin(), (place * rate).cos()], dim=-1).flatten(1)

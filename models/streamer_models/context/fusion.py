"""Both modalities of a window of utterances, each in context -> scores."""

from typing import Annotated

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from streamer_models.config import Heads, Layers, NetworkConfig, Probability, Width
from streamer_models.contract import Scores
from streamer_models.heads.dimensions import DimensionHead
from streamer_models.layers.recurrent import last_real
from streamer_models.layers.transformer import EncoderLayer


class FusionConfig(NetworkConfig):
    """Sizes of the multimodal transformer; the paper's, but for its feed-forward net of 3072."""

    width: Width = 120
    heads: Heads = 12
    layers: Layers = 3
    feed_forward: Annotated[int, Field(ge=1, le=16_384)] = 480
    norm_first: bool = False
    dropout: Probability = 0.1
    head_dropout: Probability = 0.2
    """For what enters the transformer and what leaves it."""

    @model_validator(mode="after")
    def _consistent(self) -> "FusionConfig":
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        return self


class Fusion(nn.Module):
    """A transformer over [text_1..text_L ; audio_1..audio_L] (Dutta & Ganapathy, 2022).

    Args:
        inputs: Size of an utterance's vector in each modality.
        classes: How many classes there are.
        config: The other sizes.
        dimensions: How many dimensions are estimated beside the classes.
    """

    def __init__(
        self, inputs: int, classes: int, config: FusionConfig, *, dimensions: int = 0
    ) -> None:
        super().__init__()
        self.text = nn.Linear(inputs, config.width)
        self.audio = nn.Linear(inputs, config.width)
        self.layers = nn.ModuleList(
            EncoderLayer(
                config.width,
                config.heads,
                config.feed_forward,
                config.dropout,
                norm_first=config.norm_first,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width, eps=1e-12) if config.norm_first else nn.Identity()
        self.classifier = nn.Linear(2 * config.width, classes)
        self.dimensions = DimensionHead(2 * config.width, dimensions) if dimensions else None
        self.dropout = nn.Dropout(config.head_dropout)

    def forward(
        self, text: Tensor, audio: Tensor, mask: Tensor, lengths: Tensor | None = None
    ) -> Scores:
        """Score utterances by both modalities and those around them.

        Args:
            text: [B, L, inputs].
            audio: [B, L, inputs].
            mask: Which utterances are real, bool [B, L].
            lengths: Where given (int64 [B]), only the last utterance of each row is scored.

        Returns:
            Scores of [B, L] utterances, or of the B last ones.
        """
        x = torch.cat([self.dropout(self.text(text)), self.dropout(self.audio(audio))], dim=1)
        both = torch.cat([mask, mask], dim=1)
        for layer in self.layers[:-1]:
            x = layer(x, both)
        queries = None
        if lengths is not None:
            halves = x.chunk(2, dim=1)
            queries = torch.stack([last_real(half, lengths) for half in halves], dim=1)
        x = self.norm(self.layers[-1](x, both, queries))
        fused = torch.cat(x.chunk(2, dim=1), dim=-1)
        if lengths is not None:
            fused = fused[:, 0]
        fused = self.dropout(fused)
        dimensions = None if self.dimensions is None else self.dimensions(fused)
        return Scores(self.classifier(fused), dimensions)

"""Krishna D N, "Using large pre-trained models with cross-modal attention for multi-modal emotion recognition".

arXiv 2108.09669 (2021). Frames of a pre-trained speech encoder and tokens of BERT attend to each other; each modality
is pooled to mean and standard deviation; both are concatenated and classified.

Deviations: the speech encoder is any frame encoder of the registry; a residual around each attention, so that an
utterance without text (or audio) is still classified by what it has.
"""

from typing import ClassVar

import torch
from pydantic import model_validator
from torch import Tensor, nn

from streamer_models.config import Heads, Width
from streamer_models.layers.cross_attention import CrossAttention
from streamer_models.layers.pooling import statistics
from streamer_models.sequences import Utterances
from streamer_models.zoo.base import UtteranceConfig, UtteranceSystem


class Krishna2021Config(UtteranceConfig):
    """Sizes of the cross-modal attention."""

    width: Width = 128
    heads: Heads = 8

    @model_validator(mode="after")
    def _divisible(self) -> "Krishna2021Config":
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        return self


class Krishna2021(UtteranceSystem):
    """Cross-modal attention in both directions, statistics pooling, early fusion."""

    name: ClassVar = "krishna2021"
    config_class: ClassVar = Krishna2021Config

    def __init__(self, config: Krishna2021Config) -> None:
        super().__init__(config)
        audio, text, _ = config.sizes
        self.audio_in = nn.Linear(audio, config.width)
        self.text_in = nn.Linear(text, config.width)
        self.audio_to_text = CrossAttention(config.width, config.heads, config.dropout)
        self.text_to_audio = CrossAttention(config.width, config.heads, config.dropout)
        self.audio_norm = nn.LayerNorm(config.width)
        self.text_norm = nn.LayerNorm(config.width)
        self.add_heads(4 * config.width)

    def fused(self, batch: Utterances) -> Tensor:
        """Return one vector for each utterance, [B, 4 * width]: audio's mean and deviation, then text's."""
        audio_mask, text_mask = batch.audio.mask, batch.text.mask
        audio, text = self.audio_in(batch.audio.values), self.text_in(batch.text.values)
        by_text = self.audio_norm(audio + self.audio_to_text(audio, text, text_mask))
        by_audio = self.text_norm(text + self.text_to_audio(text, audio, audio_mask))
        return torch.cat([statistics(by_text, audio_mask), statistics(by_audio, text_mask)], dim=-1)

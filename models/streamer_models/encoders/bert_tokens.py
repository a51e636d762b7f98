"""Tokens in context: a BERT-type encoder whose last layers' mean is kept for each token."""

from typing import ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from streamer_models.config import EncoderConfig, Width
from streamer_models.encoders.bert_gru import Bert, BertSizes


class BertTokensConfig(BertSizes, EncoderConfig):
    """Sizes; the defaults are MiniLM-L6's. An embedding vector is as wide as the encoder."""

    encoder: Literal["bert_tokens"] = "bert_tokens"
    embedding: Width = 384

    @model_validator(mode="after")
    def _as_wide(self) -> "BertTokensConfig":
        if self.embedding != self.width:
            raise ValueError("embedding must equal width")
        return self


class BertTokens(nn.Module):
    """Token ids -> a vector for each token."""

    config_class: ClassVar = BertTokensConfig

    def __init__(self, config: BertTokensConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding_size = config.width
        self.bert = Bert(config)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Map token ids int64 [B, T] and their mask bool [B, T] -> [B, T, width], zero in the padding."""
        layers = self.bert(ids, None if bool(mask.all()) else mask)
        mean = torch.stack(layers[-self.config.last_layers :]).mean(0)
        return mean.masked_fill(~mask[..., None], 0)

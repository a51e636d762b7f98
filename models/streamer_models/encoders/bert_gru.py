"""Words -> the 100-d text embedding: a BERT-type encoder and a bidirectional GRU over its last layers."""

from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from streamer_models.config import (
    EncoderConfig,
    FeedForward,
    Heads,
    Layers,
    NetworkConfig,
    Probability,
    Width,
)
from streamer_models.layers.recurrent import BiGru, lengths_of
from streamer_models.layers.transformer import EncoderLayer

if TYPE_CHECKING:
    from streamer_models.fast.bert_gru import FastBertGru


class BertSizes(NetworkConfig):
    """Sizes of a BERT-type encoder; the defaults are MiniLM-L6's (22.7 million parameters)."""

    vocabulary: Annotated[int, Field(ge=8, le=300_000)] = 30_522
    width: Width = 384
    layers: Layers = 6
    heads: Heads = 12
    feed_forward: FeedForward = 1536
    positions: Annotated[int, Field(ge=8, le=4096)] = 512
    max_tokens: Annotated[int, Field(ge=3, le=4096)] = 96
    """Longer texts are cut here; both marks of the tokenizer count."""
    last_layers: Layers = 4
    """How many of the last layers are read."""
    dropout: Probability = 0.1

    @model_validator(mode="after")
    def _consistent(self) -> "BertSizes":
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        if self.last_layers > self.layers:
            raise ValueError("last_layers must not exceed layers")
        if self.max_tokens > self.positions:
            raise ValueError("max_tokens must not exceed positions")
        return self


class BertGruConfig(BertSizes, EncoderConfig):
    """Sizes; the defaults are MiniLM-L6's and the paper's head."""

    encoder: Literal["bert_gru"] = "bert_gru"
    hidden: Width = 100
    gru_layers: Layers = 2
    head_dropout: Probability = 0.2


class Bert(nn.Module):
    """The encoder of Devlin et al. (2019) without its pooler, in inference equal to transformers' `BertModel`.

    Written out because importing transformers' takes longer than everything else at the start.
    """

    def __init__(self, config: BertSizes) -> None:
        super().__init__()
        self.words = nn.Embedding(config.vocabulary, config.width)
        self.positions = nn.Embedding(config.positions, config.width)
        self.segment = nn.Parameter(torch.zeros(config.width))
        self.norm = nn.LayerNorm(config.width, eps=1e-12)
        self.dropout = nn.Dropout(config.dropout)
        self.layers = nn.ModuleList(
            EncoderLayer(config.width, config.heads, config.feed_forward, config.dropout)
            for _ in range(config.layers)
        )

    def forward(self, ids: Tensor, mask: Tensor | None) -> list[Tensor]:
        """Map token ids (int64 [B, T]), their mask (bool [B, T]; None: all) -> each layer's output [B, T, width]."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.words(ids) + self.positions(places) + self.segment
        x = self.dropout(self.norm(x))
        outputs = []
        for layer in self.layers:
            x = layer(x, mask)
            outputs.append(x)
        return outputs


class BertGru(nn.Module):
    """The text embedding of an utterance.

    The last layers of the encoder, concatenated for each token, go through the GRU; the states in which its two
    directions end, projected, are the embedding (Dutta & Ganapathy, 2022).
    """

    config_class: ClassVar = BertGruConfig

    def __init__(self, config: BertGruConfig) -> None:
        super().__init__()
        self.config = config
        self.bert = Bert(config)
        self.gru = BiGru(
            config.last_layers * config.width,
            config.hidden,
            config.gru_layers,
            config.head_dropout,
        )
        self.projection = nn.Linear(2 * config.hidden, config.embedding)
        self.dropout = nn.Dropout(config.head_dropout)

    @property
    def embedding_size(self) -> int:
        """Size of an embedding."""
        return self.config.embedding

    def fast(self) -> "FastBertGru":
        """Return the form for inference; the weights are final."""
        from streamer_models.fast.bert_gru import FastBertGru

        return FastBertGru(self)

    def forward(self, ids: Tensor, mask: Tensor) -> Tensor:
        """Embed texts; padding, behind each text, does not change its embedding.

        Args:
            ids: Token ids, int64 [B, T].
            mask: Which of them are real, bool [B, T].

        Returns:
            [B, embedding].
        """
        lengths = lengths_of(mask)
        padded = int(lengths.min()) < mask.shape[1]
        layers = self.bert(ids, mask if padded else None)
        _, ends = self.gru(torch.cat(layers[-self.config.last_layers :], dim=-1), lengths)
        out: Tensor = self.projection(self.dropout(ends.flatten(1)))
        return out

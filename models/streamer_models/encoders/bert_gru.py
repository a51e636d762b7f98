"""Words -> the 100-d text embedding: a BERT-type encoder and a bidirectional GRU over its last layers."""

from collections.abc import Sequence
from typing import Annotated

import torch
from pydantic import Field, model_validator
from tokenizers import Tokenizer
from torch import Tensor, nn

from streamer_models.config import Heads, Layers, NetworkConfig, Probability, Width
from streamer_models.layers.recurrent import BiGru, lengths_of
from streamer_models.layers.transformer import EncoderLayer

MAX_CHARACTERS_PER_TOKEN = 64


class TextEncoderConfig(NetworkConfig):
    """Sizes; the defaults are MiniLM-L6's (22.7 million parameters) and the paper's head."""

    vocabulary: Annotated[int, Field(ge=8, le=300_000)] = 30_522
    width: Width = 384
    layers: Layers = 6
    heads: Heads = 12
    feed_forward: Annotated[int, Field(ge=1, le=16_384)] = 1536
    positions: Annotated[int, Field(ge=8, le=4096)] = 512
    max_tokens: Annotated[int, Field(ge=3, le=4096)] = 96
    """Longer texts are cut here; both marks of the tokenizer count."""
    last_layers: Layers = 4
    """How many of the last layers the GRU reads, side by side."""
    hidden: Width = 100
    gru_layers: Layers = 2
    embedding: Width = 100
    dropout: Probability = 0.1
    head_dropout: Probability = 0.2

    @model_validator(mode="after")
    def _consistent(self) -> "TextEncoderConfig":
        if self.width % self.heads:
            raise ValueError("width must be a multiple of heads")
        if self.last_layers > self.layers:
            raise ValueError("last_layers must not exceed layers")
        if self.max_tokens > self.positions:
            raise ValueError("max_tokens must not exceed positions")
        return self


class Bert(nn.Module):
    """The encoder of Devlin et al. (2019) without its pooler, in inference equal to transformers' `BertModel`.

    Written out because importing transformers' takes longer than everything else at the start.
    """

    def __init__(self, config: TextEncoderConfig) -> None:
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
        """Token ids (int64 [B, T]), their mask (bool [B, T]; None: all) -> each layer's output [B, T, width]."""
        places = torch.arange(ids.shape[1], device=ids.device)
        x = self.words(ids) + self.positions(places) + self.segment
        x = self.dropout(self.norm(x))
        outputs = []
        for layer in self.layers:
            x = layer(x, mask)
            outputs.append(x)
        return outputs


class TextEncoder(nn.Module):
    """The text embedding of an utterance.

    The last layers of the encoder, concatenated for each token, go through the GRU; the states in which its two
    directions end, projected, are the embedding (Dutta & Ganapathy, 2022).
    """

    def __init__(self, config: TextEncoderConfig) -> None:
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


class TextTokenizer:
    """Texts -> token ids, by the vocabulary and rules of a `tokenizer.json`.

    Args:
        definition: The content of the file.
        max_tokens: Where a longer text is cut.

    Raises:
        ValueError: It is not a tokenizer's definition.
    """

    def __init__(self, definition: str, max_tokens: int) -> None:
        try:
            self._tokenizer = Tokenizer.from_str(definition)
        except Exception as error:  # the library raises nothing more specific
            raise ValueError(f"not a tokenizer's definition: {error}") from error
        self.definition = definition
        self.max_tokens = max_tokens
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()

    @property
    def vocabulary(self) -> int:
        """The least number that is above every id."""
        return 1 + max(self._tokenizer.get_vocab().values(), default=-1)

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Token ids (int64 [B, T]) and their mask (bool [B, T]), padded to the longest of the texts."""
        longest = self.max_tokens * MAX_CHARACTERS_PER_TOKEN
        # one by one: encode_batch starts a pool of threads as large as the machine
        rows = [self._tokenizer.encode(text[:longest]).ids for text in texts]
        width = max(map(len, rows), default=0)
        ids = torch.zeros(len(rows), width, dtype=torch.int64)
        mask = torch.zeros(len(rows), width, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = True
        return ids, mask

"""Attention of one sequence to another, with masks."""

import math

from torch import Tensor, nn

from streamer_models.layers.masking import masked_softmax


class CrossAttention(nn.Module):
    """Multi-head attention of queries to the keys and values of another sequence.

    Args:
        width: Of all vectors; a multiple of `heads`.
        heads: Attention heads.
        dropout: Of the attention weights.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the width {width} is not a multiple of the {heads} heads")
        self.heads = heads
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """Attend to the other sequence.

        Args:
            x: Queries [B, T, width].
            others: Keys and values [B, S, width].
            mask: Which of the others are real, bool [B, S]; none gives the bias of the output alone.

        Returns:
            [B, T, width].
        """
        weights = self.dropout(self.weights(x, others, mask))
        mixed = weights @ self.split(self.value(others))
        out: Tensor = self.out(mixed.transpose(1, 2).flatten(2))
        return out

    def weights(self, x: Tensor, others: Tensor, mask: Tensor) -> Tensor:
        """Return attention weights [B, heads, T, S], each row summing to 1 over the real ones."""
        query, key = self.split(self.query(x)), self.split(self.key(others))
        scores = query @ key.mT / math.sqrt(query.shape[-1])
        return masked_softmax(scores, mask[:, None, None])

    def split(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, heads, T, width / heads]."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

"""One layer of a transformer encoder, as BERT has it; shared by the text encoder and the fusion."""

import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn


class EncoderLayer(nn.Module):
    """Multi-head self-attention and a feed-forward net with GELU, each with a residual.

    Args:
        width: Size of an input and output vector; a multiple of `heads`.
        heads: Attention heads.
        feed_forward: Hidden size of the feed-forward net.
        dropout: Probability for the attention weights and for both residual branches.
        norm_first: Normalise the input of each branch, not its sum with the residual (BERT's).
    """

    def __init__(
        self, width: int, heads: int, feed_forward: int, dropout: float, *, norm_first: bool = False
    ) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the width {width} is not a multiple of the {heads} heads")
        self.heads = heads
        self.norm_first = norm_first
        self.attention_dropout = dropout
        self.query = nn.Linear(width, width)
        self.key_value = nn.Linear(width, 2 * width)
        self.attention_out = nn.Linear(width, width)
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.expand = nn.Linear(width, feed_forward)
        self.contract = nn.Linear(feed_forward, width)
        self.feed_forward_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor | None, queries: Tensor | None = None) -> Tensor:
        """Return vectors in the light of all of a sequence.

        Args:
            x: The sequence [B, T, width].
            mask: Which of its vectors are real, bool [B, T] with one at least in each row; None: all.
            queries: Those of the sequence's vectors to compute, [B, Q, width]; None: all of them.

        Returns:
            [B, Q, width].
        """
        residual = x if queries is None else queries
        if self.norm_first:
            context = self.attention_norm(x)
            asked = context if queries is None else self.attention_norm(queries)
            y = residual + self.dropout(self._attend(asked, context, mask))
            summed: Tensor = y + self.dropout(self._feed_forward(self.feed_forward_norm(y)))
            return summed
        y = self.attention_norm(residual + self.dropout(self._attend(residual, x, mask)))
        normed: Tensor = self.feed_forward_norm(y + self.dropout(self._feed_forward(y)))
        return normed

    def _attend(self, asked: Tensor, context: Tensor, mask: Tensor | None) -> Tensor:
        key, value = self.key_value(context).chunk(2, dim=-1)
        attended = F.scaled_dot_product_attention(
            self._split(self.query(asked)),
            self._split(key),
            self._split(value),
            attn_mask=None if mask is None else mask[:, None, None, :],
            dropout_p=self.attention_dropout if self.training else 0.0,
        )
        out: Tensor = self.attention_out(attended.transpose(1, 2).flatten(2))
        return out

    def _split(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, heads, T, width / heads]."""
        return x.view(*x.shape[:2], self.heads, -1).transpose(1, 2)

    def _feed_forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.contract(F.gelu(self.expand(x)))
        return out

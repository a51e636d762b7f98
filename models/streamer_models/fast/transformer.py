"""One layer of a transformer encoder."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn

from streamer_models.fast.linear import PackedLinear
from streamer_models.layers.transformer import EncoderLayer


class Layer:
    """`EncoderLayer` in evaluation, query, key and value by one product."""

    def __init__(self, layer: EncoderLayer) -> None:
        self._heads = layer.heads
        self._norm_first = layer.norm_first
        self._query_key_value = PackedLinear(
            torch.cat([layer.query.weight, layer.key_value.weight]),
            torch.cat([layer.query.bias, layer.key_value.bias]),
        )
        self._attention_out = PackedLinear.of(layer.attention_out)
        self._attention_norm = layer_norm(layer.attention_norm)
        self._expand = PackedLinear.of(layer.expand)
        self._contract = PackedLinear.of(layer.contract)
        self._feed_forward_norm = layer_norm(layer.feed_forward_norm)

    def __call__(
        self, x: Tensor, mask: Tensor | None, asked: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Return vectors in the light of all of a sequence.

        Args:
            x: The sequence [B, T, width].
            mask: Which of its vectors are real, bool [B, T] with one at least in each row; None: all.
            asked: Rows and places, int64 [B, Q] together, of the vectors to compute; None: all of them.

        Returns:
            [B, Q, width].
        """
        context = self._attention_norm(x) if self._norm_first else x
        query, key, value = self._query_key_value(context).chunk(3, dim=-1)
        if asked is not None:
            x, query = x[asked], query[asked]
        attended = F.scaled_dot_product_attention(
            self._split(query),
            self._split(key),
            self._split(value),
            attn_mask=None if mask is None else mask[:, None, None, :],
        )
        y = self._attention_out(attended.transpose(1, 2).flatten(2)).add_(x)
        if self._norm_first:
            return self._feed_forward(self._feed_forward_norm(y)).add_(y)
        y = self._attention_norm(y)
        return self._feed_forward_norm(self._feed_forward(y).add_(y))

    def _split(self, x: Tensor) -> Tensor:
        """[B, T, width] -> [B, heads, T, width / heads]."""
        return x.view(*x.shape[:2], self._heads, -1).transpose(1, 2)

    def _feed_forward(self, x: Tensor) -> Tensor:
        return self._contract(F.gelu(self._expand(x)))


def layers_of(modules: nn.ModuleList) -> list[Layer]:
    """Return the layers of an encoder."""
    return [Layer(module) for module in modules if isinstance(module, EncoderLayer)]


def layer_norm(norm: nn.LayerNorm) -> Callable[[Tensor], Tensor]:
    """Return the same as a layer of torch's, without the calls that a module takes."""
    return partial(
        F.layer_norm,
        normalized_shape=norm.normalized_shape,
        weight=norm.weight.detach(),
        bias=norm.bias.detach(),
        eps=norm.eps,
    )

"""Valence and arousal, and the loss that they are trained with."""

import torch
from torch import Tensor, nn


class DimensionHead(nn.Module):
    """A linear layer whose outputs are bounded to [-1, 1]."""

    def __init__(self, inputs: int, dimensions: int) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, dimensions)

    def forward(self, x: Tensor) -> Tensor:
        """[..., inputs] -> [..., dimensions]."""
        return torch.tanh(self.linear(x))


def concordance(x: Tensor, y: Tensor) -> Tensor:
    """Return Lin's concordance correlation, 2 cov / (var x + var y + (mean x - mean y)^2), over all elements.

    It is 0 where both are constant and equal: nothing varies together.
    """
    x, y = x.flatten(), y.flatten()
    if x.shape != y.shape or not len(x):
        raise ValueError("concordance needs two equally many values, one at least")
    dx, dy = x - x.mean(), y - y.mean()
    spread = dx.square().mean() + dy.square().mean() + (x.mean() - y.mean()).square()
    return 2 * (dx * dy).mean() / spread.clamp(min=torch.finfo(x.dtype).tiny)


def concordance_loss(predicted: Tensor, truth: Tensor, weights: Tensor) -> Tensor:
    """Return the sum of weight * (1 - CCC) over dimensions (Atmaja & Akagi, 2020).

    Args:
        predicted: [N, D].
        truth: [N, D]; NaN where a value is unknown.
        weights: [D].
    """
    total = predicted.new_zeros(())
    for column in range(predicted.shape[1]):
        known = truth[:, column].isfinite()
        if int(known.sum()) > 1:
            ccc = concordance(predicted[known, column], truth[known, column])
            total = total + weights[column] * (1 - ccc)
    return total

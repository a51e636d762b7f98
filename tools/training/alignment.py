"""Between the spaces of two encoders of the same things."""

from collections.abc import Callable

import torch
from torch import Tensor

_RIDGE = 1e-2
"""How much a map is drawn to zero, as a share of the mean variance."""


def linear_map(source: Tensor, target: Tensor) -> Callable[[Tensor], Tensor]:
    """The affine map of vectors [n, D] that takes `source` nearest to `target`, by ridge regression."""
    middle, goal = source.double().mean(0), target.double().mean(0)
    x, y = source.double() - middle, target.double() - goal
    square = x.T @ x
    ridge = _RIDGE * square.diagonal().mean().clamp(min=1e-9) * torch.eye(len(square))
    weights = torch.linalg.solve(square + ridge, x.T @ y)
    return lambda vectors: ((vectors.double() - middle) @ weights + goal).float()

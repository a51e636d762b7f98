"""From a sequence to one vector: statistics over time, masked, and as a stream."""

from dataclasses import dataclass

import torch
from torch import Tensor

from streamer_models.layers.masking import SMALL, masked_deviation, masked_max, masked_mean


def statistics(x: Tensor, mask: Tensor) -> Tensor:
    """Return mean and standard deviation over time (Snyder et al., 2018): [B, T, D] -> [B, 2 D]."""
    return torch.cat([masked_mean(x, mask), masked_deviation(x, mask)], dim=-1)


def statistical_unit(x: Tensor, mask: Tensor) -> Tensor:
    """Return maximum, mean and standard deviation over time (Peng et al., 2021): [B, T, D] -> [B, 3, D]."""
    return torch.stack(
        [masked_max(x, mask), masked_mean(x, mask), masked_deviation(x, mask)], dim=1
    )


@dataclass
class RunningStatistics:
    """`statistical_unit` of one sequence that arrives in pieces, with a state of constant size.

    Mean and squared deviations are merged as in Chan et al. (1979): no sum of squares is subtracted from another.
    """

    count: int = 0
    highest: Tensor | None = None
    """[D]."""
    mean: Tensor | None = None
    deviations: Tensor | None = None
    """Sum of squared deviations from the mean, [D]."""

    def push(self, x: Tensor) -> None:
        """Take the steps that follow, [T, D]."""
        if not len(x):
            return
        mean, highest = x.mean(0), x.amax(0)
        deviations = (x - mean).square().sum(0)
        if self.highest is None or self.mean is None or self.deviations is None:
            self.count, self.highest, self.mean, self.deviations = (
                len(x),
                highest,
                mean,
                deviations,
            )
            return
        total = self.count + len(x)
        step = mean - self.mean
        self.deviations = (
            self.deviations + deviations + step.square() * (self.count * len(x) / total)
        )
        self.mean = self.mean + step * (len(x) / total)
        self.highest = torch.maximum(self.highest, highest)
        self.count = total

    def result(self) -> Tensor:
        """Return maximum, mean and standard deviation so far, [3, D].

        Raises:
            ValueError: Nothing was pushed.
        """
        if self.highest is None or self.mean is None or self.deviations is None:
            raise ValueError("statistics of nothing")
        deviation = (self.deviations / self.count + SMALL).sqrt() - SMALL**0.5
        return torch.stack([self.highest, self.mean, deviation])

    def moments(self) -> tuple[Tensor, Tensor]:
        """Return mean and standard deviation so far, [D] each, without the small term that gradients need.

        Raises:
            ValueError: Nothing was pushed.
        """
        if self.mean is None or self.deviations is None:
            raise ValueError("statistics of nothing")
        return self.mean, (self.deviations / self.count).sqrt()

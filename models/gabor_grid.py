"""LEAF's energies without the waste: each filter is evaluated on a grid as coarse as its bandwidth allows.

The squared modulus of a Gabor filter's output is smooth on the scale of the filter's envelope. Its pooled sum over all
samples is therefore a weighted sum over every D-th sample, D following the envelope's width. The weights are those
of optimal interpolation: what the missing samples are expected to be, given those of the grid, for a filtered noise.
"""

import math
from functools import lru_cache

import torch
from torch import Tensor, nn

_ENVELOPE = 5.0
"""Gabor envelopes end at this many standard deviations (or with the window)."""

_COPY = 12.0
"""The cost of copying a sample, in multiply-adds."""


class GaborGrid(nn.Module):
    """Pooled energies of Gabor filters; holds no parameters."""

    def __init__(self, window: int, hop: int) -> None:
        super().__init__()
        self.reach = window // 2
        self.hop = hop

    def forward(self, wave: Tensor, centre: Tensor, width: Tensor, pool: Tensor) -> Tensor:
        """Pooled squared moduli.

        Args:
            wave: [B, T].
            centre: frequencies in radians per sample, [N].
            width: standard deviations of the envelopes in samples, [N].
            pool: pooling windows [N, window].

        Returns:
            [B, N, F], F = max(1, ceil(T / hop)), column f centred on sample f * hop.
        """
        groups: dict[int, list[int]] = {}
        for index, sigma in enumerate(width.tolist()):
            groups.setdefault(grid_step(sigma, self.hop), []).append(index)
        parts, order = [], []
        for step, members in groups.items():
            chosen = torch.tensor(members, device=wave.device)
            parts.append(self._group(wave, centre[chosen], width[chosen], pool[chosen], step))
            order += members
        back = torch.tensor(order, device=wave.device).argsort()
        return torch.cat(parts, dim=-1)[..., back].transpose(1, 2)

    def _group(
        self, wave: Tensor, centre: Tensor, width: Tensor, pool: Tensor, step: int
    ) -> Tensor:
        """Energies [B, F, N] of filters that share a grid."""
        filters = len(centre)
        half = min(self.reach, math.ceil(_ENVELOPE * float(width.max())))
        block = self._block(step, half, filters)
        frames = max(1, -(-wave.shape[-1] // self.hop))
        before = self.hop // 2 + half
        after = frames * self.hop + 2 * half - before - wave.shape[-1]
        pieces = nn.functional.pad(wave, (before, after)).unfold(-1, block + 2 * half, block)
        points = torch.arange(0, block, step, device=wave.device)
        samples = torch.arange(-half, block + half, device=wave.device)
        lag = points - samples[:, None]
        inside = (lag.abs() <= half)[..., None]
        envelope = (
            torch.exp(-0.5 * (lag[..., None] / width).square())
            * inside
            / (math.sqrt(2 * math.pi) * width)
        )
        phase = lag[..., None] * centre
        taps = torch.cat([envelope * phase.cos(), envelope * phase.sin()], dim=-1)
        filtered = pieces @ taps.flatten(1)
        power = (
            filtered.square().view(wave.shape[0], frames, self.hop // step, 2, filters).sum(dim=3)
        )
        weights = pool @ interpolation(self.reach, self.hop, step).to(pool)
        return torch.einsum("bfpn,np->bfn", power, weights)

    def _block(self, step: int, half: int, filters: int) -> int:
        """Samples evaluated by one row of the matrix product: long rows waste products, short ones waste copies."""
        blocks = [block for block in range(step, self.hop + 1, step) if self.hop % block == 0]

        def cost(block: int) -> float:
            return (block + 2 * half) * (2 * filters / step + _COPY / block)

        return min(blocks, key=cost)


def grid_step(sigma: float, hop: int) -> int:
    """The grid of an envelope `sigma` samples wide: a divisor of the hop."""
    finest = max(1, min(int(0.7 * sigma), 40))
    return max(step for step in range(1, finest + 1) if hop % step == 0)


@lru_cache(maxsize=64)
def interpolation(reach: int, hop: int, step: int) -> Tensor:
    """The share of each sample of a pooling window that each point of the grid stands for.

    Returns:
        float64 [2 * reach + 1, hop / step]; the grid's points lie at -hop/2, -hop/2 + step, ...
    """
    points = torch.arange(-(hop // 2), hop - hop // 2, step, dtype=torch.float64)
    samples = torch.arange(-reach, reach + 1, dtype=torch.float64)
    scale = 1.25 * step

    def correlation(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-0.5 * ((a[:, None] - b) / scale).square())

    if step == 1:
        return (samples[:, None] == points).double()
    shares: Tensor = torch.linalg.solve(correlation(points, points), correlation(points, samples))
    return shares.T

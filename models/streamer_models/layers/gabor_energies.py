"""LEAF's energies by short spectra: the same numbers as filtering at every sample, at a fraction of the cost.

A column depends on the 801 samples around its centre. A few columns share a spectrum; each filter is a real product
with it and an inverse transform. Where the filter's band is narrow, only that band is transformed back, which gives its
output on a grid of every 2nd, 4th or 8th sample. Its squared modulus is smooth on the scale of the filter's
envelope, so that pooling it over all samples is a weighted sum over the grid; the weights are those of optimal
interpolation (the Gaussian process of that smoothness). Filters cut off by their window have wide
skirts, through which loud sounds of other bands leak: these keep every sample.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn

_POINTS_PER_WIDTH = 3.0
"""Grid points per standard deviation of a filter's envelope."""

_COARSEST = 8

_SMOOTHNESS = 2.3
"""The width of the interpolation's prior correlation, in grid steps."""

_LEAK = 1e-6
"""What may be lost of a sound outside of the band: -120 dB, well under LEAF's floor."""

_COLUMNS = 4
"""Columns that share a spectrum."""

_ROUND = 256
"""Transforms are multiples of this: quick ones, and so are those of the coarser grids."""

_CHUNK = 4
"""Spectra worked on together: few enough to stay in the processor's cache."""


@dataclass(frozen=True)
class _Group:
    """Filters evaluated on the same grid."""

    step: int
    bins: Tensor
    """The first bin of each filter's band, counted from -size / 2, int64 [n]."""
    response: Tensor
    """Real, [n, transform]."""
    weights: Tensor
    """Of each grid point, for the real and the imaginary part, [n, 1, 2 * points]."""


@dataclass(frozen=True)
class GaborPlan:
    """Plan of evaluating a set of filters; holds for as long as the filters do not change."""

    reach: int
    """Samples on either side of the centre of filters and pooling windows."""
    hop: int
    size: int
    """Of the transforms."""
    columns: int
    """Columns that share a spectrum."""
    groups: tuple[_Group, ...]
    order: Tensor
    """From the groups' order of filters to their own, int64 [N]."""


def make_plan(centre: Tensor, width: Tensor, pool: Tensor, hop: int) -> GaborPlan:
    """Choose each filter's grid, and work out responses and weights.

    Args:
        centre: frequencies in radians per sample, [N].
        width: standard deviations of the envelopes in samples, [N].
        pool: pooling windows, [N, window]; the window is that of the filters too.
        hop: samples from column to column.

    Returns:
        The plan, differentiable with respect to all of these.
    """
    reach = pool.shape[-1] // 2
    needed = (_COLUMNS - 1) * hop + 4 * reach + 1
    size = -(-needed // _ROUND) * _ROUND
    response = _responses(centre.double(), width.double(), reach, size)
    middles = (centre.detach() * size / (2 * math.pi)).round().long()
    members: dict[int, list[int]] = {}
    for index, sigma in enumerate(width.tolist()):
        members.setdefault(_grid_step(sigma, reach, hop), []).append(index)
    groups = []
    for step, indices in members.items():
        band = size // step
        chosen = torch.tensor(indices, device=centre.device)
        first = middles[chosen] - band // 2 if step > 1 else torch.full_like(chosen, -(size // 2))
        bins = first[:, None] + torch.arange(band, device=centre.device)
        weights = pool[chosen].double() @ interpolation(reach, step).to(pool.device)
        groups.append(
            _Group(
                step,
                first + size // 2,
                response[chosen[:, None], bins % size].to(centre.dtype) / step,
                weights.to(centre.dtype).repeat_interleave(2, dim=1)[:, None],
            )
        )
    order = torch.tensor([index for indices in members.values() for index in indices])
    return GaborPlan(reach, hop, size, _COLUMNS, tuple(groups), order.argsort().to(centre.device))


def pooled_energies(wave: Tensor, plan: GaborPlan) -> Tensor:
    """Return pooled squared moduli of the columns whose surroundings a wave holds whole.

    Args:
        wave: [B, T], T > 4 * plan.reach; the first column's centre is sample 2 * plan.reach.
        plan: the filters.

    Returns:
        [B, N, F].
    """
    frames = (wave.shape[-1] - 4 * plan.reach - 1) // plan.hop + 1
    stride = plan.columns * plan.hop
    span = stride - plan.hop + 4 * plan.reach + 1
    missing = -(-frames // plan.columns) * stride - stride + span - wave.shape[-1]
    rows = nn.functional.pad(wave, (0, max(0, missing))).unfold(-1, span, stride)
    chunks = torch.split(rows.flatten(0, 1), _CHUNK)
    energies = torch.cat([_energies(chunk, plan) for chunk in chunks], dim=1)[plan.order]
    return energies.view(-1, len(wave), rows.shape[1] * plan.columns).transpose(0, 1)[..., :frames]


def _energies(rows: Tensor, plan: GaborPlan) -> Tensor:
    """Return energies [N, R * plan.columns] of stretches of a wave [R, span], filters in the groups' order."""
    half = plan.size // 2
    spectrum = torch.fft.fft(rows, plan.size)
    around = torch.cat([spectrum[:, half:], spectrum], dim=1)
    parts = []
    for group in plan.groups:
        windows = around.unfold(-1, group.response.shape[1], 1).transpose(0, 1)
        bands = windows[:1] if group.step == 1 else windows[group.bins]
        output = torch.fft.ifft(bands * group.response[:, None])[..., plan.reach // group.step :]
        points = output.unfold(-1, 2 * plan.reach // group.step + 1, plan.hop // group.step)
        power = torch.view_as_real(points[:, :, : plan.columns]).square()
        parts.append((power.flatten(3).flatten(1, 2) * group.weights).sum(-1))
    return torch.cat(parts)


def _responses(centre: Tensor, width: Tensor, reach: int, size: int) -> Tensor:
    """Return the filters' frequency responses at the bins 0, 1, ... size - 1 (they are real), [N, size]."""
    offset = torch.arange(-reach, reach + 1, dtype=width.dtype, device=width.device)
    envelope = torch.exp(-0.5 * (offset / width[:, None]).square()) / (
        math.sqrt(2 * math.pi) * width[:, None]
    )
    taps = torch.polar(envelope, centre[:, None] * offset)
    around_zero = nn.functional.pad(taps, (0, size - taps.shape[1])).roll(-reach, dims=1)
    spectrum: Tensor = torch.fft.fft(around_zero)
    return spectrum.real


def _grid_step(width: float, reach: int, hop: int) -> int:
    """Return the coarsest grid, a power of two, on which a filter's energies are exact enough."""
    step = _COARSEST
    while step > 1 and (
        step * _POINTS_PER_WIDTH > width
        or _leak(width, reach, step) > _LEAK
        or math.gcd(reach, hop) % step
    ):
        step //= 2
    return step


def _leak(width: float, reach: int, step: int) -> float:
    """Return a filter's response at the edge of its band where the window cuts off its envelope: of the two steps."""
    cut = math.exp(-0.5 * (reach / width) ** 2) / (math.sqrt(2 * math.pi) * width)
    return 2 * cut * step / math.pi


@lru_cache(maxsize=16)
@torch.inference_mode(mode=False)
def interpolation(reach: int, step: int) -> Tensor:
    """Return the contribution of each grid point to the interpolated value at each sample of a window.

    The prior is a Gaussian process with a correlation somewhat wider than the grid.

    Returns:
        float64 [2 * reach + 1, points]; the points are the samples -reach, -reach + step, ... reach.
    """
    samples = torch.arange(-reach, reach + 1, dtype=torch.float64)
    if step == 1:
        return torch.eye(len(samples), dtype=torch.float64)
    points = samples[::step]

    def correlation(a: Tensor, b: Tensor) -> Tensor:
        return torch.exp(-0.5 * ((a[:, None] - b) / (_SMOOTHNESS * step)).square())

    shares: Tensor = torch.linalg.solve(correlation(points, points), correlation(points, samples))
    return shares.T

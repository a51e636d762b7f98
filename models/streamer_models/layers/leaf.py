"""LEAF, the learnable audio front end: waveform -> Gabor filters -> energies -> PCEN.

Zeghidour et al., "LEAF: A learnable frontend for audio classification" (ICLR 2021). An utterance stands in endless
silence: filters and pooling see zeros before its first sample and after its last, so padding it changes nothing.
"""

import math
from functools import partial
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from streamer_models.config import NetworkConfig
from streamer_models.layers.gabor_energies import GaborPlan, make_plan, pooled_energies
from streamer_models.layers.pcen import Pcen


class LeafConfig(NetworkConfig):
    """The shape of a LEAF front end and where its learning begins.

    `gain` places audio in [-1, 1] against `floor`: the references feed 16-bit integers, for which a floor of 1e-5 is
    no floor at all. With a gain of 64 the floor lies about 103 dB under full scale in each band, near the rounding
    noise of 16-bit recordings, so that a quiet microphone's speech stays clear of it.
    """

    filters: Annotated[int, Field(ge=1, le=512)] = 40
    sample_rate: Literal[16_000] = 16_000
    window: Annotated[int, Field(ge=3, le=4001)] = 401
    """Taps of the Gabor filters and of the pooling (odd)."""
    hop: Annotated[int, Field(ge=16, le=16_000)] = 480
    """Samples from column to column."""
    min_hz: Annotated[float, Field(ge=0, le=8000)] = 60.0
    max_hz: Annotated[float, Field(gt=0, le=8000)] = 7800.0
    pool_width: Annotated[float, Field(gt=0, le=0.5)] = 0.4
    floor: Annotated[float, Field(ge=1e-12, le=1)] = 1e-5
    gain: Annotated[float, Field(ge=1e-3, le=65_536)] = 64.0

    @model_validator(mode="after")
    def _consistent(self) -> "LeafConfig":
        if self.window % 2 == 0:
            raise ValueError("window must be odd")
        if self.min_hz >= self.max_hz:
            raise ValueError("min_hz must be less than max_hz")
        return self

    @property
    def reach(self) -> int:
        """Samples on either side of a column's centre that it depends on."""
        return 2 * (self.window // 2)


class Leaf(nn.Module):
    """Waveform [B, T], float32 in [-1, 1], to compressed energies [B, filters, F] with F = max(1, ceil(T / hop)).

    Column f is centred on sample f * hop. Energies equal those of `direct_energies`, gradients included, at a
    small part of the cost.
    """

    def __init__(self, config: LeafConfig | None = None) -> None:
        super().__init__()
        self.config = config or LeafConfig()
        centres, widths = mel_gabors(self.config)
        self.centre = nn.Parameter(centres)
        self.width = nn.Parameter(widths)
        self.pool_width = nn.Parameter(torch.full((self.config.filters,), self.config.pool_width))
        self.pcen = Pcen(self.config.filters)
        self._plan: tuple[list[Tensor], GaborPlan] | None = None

    def forward(self, wave: Tensor) -> Tensor:
        """Map waveform [B, T] -> compressed energies [B, filters, F]."""
        return self.compress(self.energies(wave))

    def energies(self, wave: Tensor) -> Tensor:
        """Return the pooled energies of each filter, floored: [B, T] -> [B, filters, F]."""
        reach = self.config.reach
        after = (
            (columns(wave.shape[-1], self.config.hop) - 1) * self.config.hop
            + reach
            + 1
            - wave.shape[-1]
        )
        return self.energies_within(nn.functional.pad(wave, (reach, after)))

    def energies_within(self, wave: Tensor) -> Tensor:
        """Return energies of the columns whose surroundings `wave` holds whole; the first is centred on sample `reach`.

        Args:
            wave: [B, T] with T > 2 * reach.

        Returns:
            [B, filters, (T - 2 * reach - 1) // hop + 1], floored.
        """
        pooled = pooled_energies(wave * self.config.gain, self.plan())
        return pooled.clamp(min=self.config.floor)

    def compress(self, energies: Tensor) -> Tensor:
        """Return the PCEN of energies [B, filters, F], from the beginning of an utterance."""
        compressed: Tensor = self.pcen(energies)[0]
        return compressed

    def plan(self) -> GaborPlan:
        """Return how the energies are evaluated; kept until the filters change, except where gradients are wanted."""
        filters = [self.centre, self.width, self.pool_width]
        if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in filters):
            return make_plan(*self.kernels(), self.config.hop)
        if self._plan is None or not all(map(torch.equal, filters, self._plan[0])):
            with torch.inference_mode(mode=False), torch.no_grad():
                self._plan = (
                    [parameter.clone() for parameter in filters],
                    make_plan(*self.kernels(), self.config.hop),
                )
        return self._plan[1]

    def kernels(self) -> tuple[Tensor, Tensor, Tensor]:
        """Return what the energies are made with, held within the bounds of the paper.

        Returns:
            Centre frequencies in radians per sample [N], widths (standard deviations) of the Gabor envelopes in
            samples [N], and the pooling windows [N, window].
        """
        size = self.config.window
        spread = math.sqrt(2 * math.log(2)) / math.pi
        centre = self.centre.clamp(0, math.pi)
        width = self.width.clamp(4 * spread, size * spread)
        pool = self.pool_width.clamp(2 / size, 0.5)
        half = size // 2
        offset = torch.arange(-half, half + 1, dtype=pool.dtype, device=pool.device)
        return centre, width, torch.exp(-0.5 * (offset / (pool[:, None] * half)).square())


def direct_energies(leaf: Leaf, wave: Tensor) -> Tensor:
    """Return the energies of `leaf` by their definition: each filter at each sample, squared, pooled.

    The reference for `Leaf.energies`: some forty times slower. Works in the precision of `leaf`.

    Args:
        leaf: the front end.
        wave: [B, T].

    Returns:
        [B, filters, F], floored.
    """
    config = leaf.config
    centre, width, pool = leaf.kernels()
    half = config.window // 2
    offset = torch.arange(-half, half + 1, dtype=width.dtype, device=width.device)
    envelope = torch.exp(-0.5 * (offset / width[:, None]).square()) / (
        math.sqrt(2 * math.pi) * width[:, None]
    )
    phase = centre[:, None] * offset
    taps = torch.cat([envelope * phase.cos(), envelope * phase.sin()])
    frames = columns(wave.shape[-1], config.hop)
    after = (frames - 1) * config.hop + config.reach + 1 - wave.shape[-1]
    padded = nn.functional.pad(wave * config.gain, (config.reach, after))
    real, imaginary = nn.functional.conv1d(padded[:, None], taps[:, None]).chunk(2, dim=1)
    power = real.square() + imaginary.square()
    pooled = nn.functional.conv1d(power, pool[:, None], stride=config.hop, groups=config.filters)
    return pooled.clamp(min=config.floor)


def columns(samples: int, hop: int) -> int:
    """Return the number of columns of an utterance."""
    return max(1, -(-samples // hop))


def mel_gabors(config: LeafConfig, fft: int = 512) -> tuple[Tensor, Tensor]:
    """Return Gabor filters with the centres and the half-height widths of mel filters, as LEAF begins.

    Read off the square roots of triangular mel filters on an FFT's bins, as the references do.

    Returns:
        Centre frequencies (radians per sample) and envelope widths (samples), each [filters].
    """
    # Also where a network is made without memory (on the device `meta`): its division would import torch's compiler,
    # which takes a second.
    linspace = partial(torch.linspace, dtype=torch.float64, device="cpu")
    mel_low, mel_high = (2595 * math.log10(1 + hz / 700) for hz in (config.min_hz, config.max_hz))
    mel = linspace(mel_low, mel_high, config.filters + 2)
    edges = 700 * (10 ** (mel / 2595) - 1)
    bins = linspace(0, config.sample_rate / 2, fft // 2 + 1)
    rising = (bins - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - bins) / (edges[2:] - edges[1:-1])[:, None]
    magnitude = torch.minimum(rising, falling).clamp(min=0).sqrt()
    peak, centre = magnitude.max(dim=1)
    half_height = (magnitude >= peak[:, None] / 2).sum(dim=1)
    width = math.sqrt(2 * math.log(2)) * fft / (math.pi * half_height)
    return (centre * (2 * math.pi / fft)).float(), width.float()

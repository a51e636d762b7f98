"""Per-channel energy normalisation: an automatic gain for each band, with a root instead of a logarithm.

Wang et al., "Trainable frontend for robust and far-field keyword spotting" (ICASSP 2017), in the form of LEAF, where
the smoothing coefficient is learnable too (sPCEN).
"""

import torch
from torch import Tensor, nn

_BLOCK = 32
EPS = 1e-12
"""Keeps the average off zero."""


def exponential_average(x: Tensor, smoothing: Tensor, before: Tensor) -> Tensor:
    """Return the recursion M_t = (1 - s) M_{t-1} + s x_t, for all t at once.

    Within blocks it is a product with a triangular matrix of powers of 1 - s. From block to block it is the same
    recursion again with 1 - s to the power of the block's length, so the depth grows as the logarithm of the
    duration, and no power ever exceeds one: hours are as exact as seconds.

    Args:
        x: what is averaged, [B, N, F].
        smoothing: s of each channel, in [0, 1], [N].
        before: M_{-1}, [B, N].

    Returns:
        M, [B, N, F].
    """
    return _decaying_sum(x * smoothing[:, None], 1 - smoothing, before)


def _decaying_sum(x: Tensor, decay: Tensor, before: Tensor) -> Tensor:
    """y_t = decay y_{t-1} + x_t with y_{-1} = before."""
    batch, channels, length = x.shape
    block = min(_BLOCK, length)
    blocks = -(-length // block)
    powers, within = decaying_powers(decay, block)
    rows = nn.functional.pad(x, (0, blocks * block - length)).transpose(0, 1)
    inside = rows.reshape(channels, batch * blocks, block) @ within.mT
    inside = inside.view(channels, batch, blocks, block).transpose(0, 1)
    starts = before[..., None]
    if blocks > 1:
        ends = _decaying_sum(inside[..., -1], powers[:, -1], before)
        starts = torch.cat([starts, ends[..., :-1]], dim=-1)
    carried = starts[..., None] * powers[:, None, 1:]
    return (inside + carried).reshape(batch, channels, blocks * block)[..., :length]


def decaying_powers(decay: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Return powers 0 .. block of each channel's decay [N, block + 1]; what x_j counts in y_i [N, block, block]."""
    age = torch.arange(block + 1, device=decay.device)
    powers = decay[:, None].pow(age)
    return powers, powers[:, (age[1:, None] - age[1:]).clamp(min=0)].tril()


class Pcen(nn.Module):
    """(F / (eps + M)^alpha + delta)^(1/root) - delta^(1/root), M being the exponential average of F.

    All parameters are learnable, one for each channel, begin where LEAF's do, and are held within their bounds when
    they are used: alpha <= 1, root >= 1, 0 <= smoothing <= 1, delta >= 0.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.alpha = nn.Parameter(torch.full((channels,), 0.96))
        self.smoothing = nn.Parameter(torch.full((channels,), 0.04))
        self.delta = nn.Parameter(torch.full((channels,), 2.0))
        self.root = nn.Parameter(torch.full((channels,), 2.0))

    def forward(self, energies: Tensor, before: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compress energies; a stream passes on the last average from one call to the next.

        Args:
            energies: positive, [B, N, F] with F >= 1.
            before: the average before the first frame, [B, N]; by default it begins at the first frame's energy.

        Returns:
            The compressed energies and the average after each frame, both [B, N, F].
        """
        first = energies[..., 0] if before is None else before
        mean = exponential_average(energies, self.smoothing.clamp(0, 1), first)
        delta = self.delta.clamp(min=0)[:, None]
        power = 1 / self.root.clamp(min=1)[:, None]
        gain = torch.exp(-self.alpha.clamp(max=1)[:, None] * torch.log(mean + EPS))
        return (energies * gain + delta).pow(power) - delta.pow(power), mean

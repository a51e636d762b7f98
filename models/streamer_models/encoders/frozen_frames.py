"""Frames of a frozen network, standardised: the base of encoders for systems that attend to what is said when."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

_LIMIT = 8.0
"""Deviations from the mean at which a value is cut off."""


class FrozenFrames(nn.Module):
    """Waveform -> standardised vectors; a subclass gives them as they are in `frames`.

    `mean` and `deviation` standardise the vectors; training sets them from its data, without a gradient.

    Args:
        width: Size of a vector.
    """

    frames: Callable[[Tensor], Tensor]
    """Samples [T] -> frames [F, width], not standardised."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.embedding_size = width
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", nn.init.zeros_(torch.empty(width)))
        self.register_buffer("deviation", nn.init.ones_(torch.empty(width)))

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Map waveforms float32 [B, T] and their lengths int64 [B] (None: T) -> [B, F, width], zero in the padding."""
        ends = [wave.shape[1]] * len(wave) if lengths is None else lengths.tolist()
        rows = [self.standardised(self.frames(row[:n])) for row, n in zip(wave, ends, strict=True)]
        longest = max(map(len, rows))
        return torch.stack([functional.pad(row, (0, 0, 0, longest - len(row))) for row in rows])

    def standardised(self, frames: Tensor) -> Tensor:
        """Return frames by the mean and deviation of the training."""
        return ((frames - self.mean) / self.deviation).clamp(-_LIMIT, _LIMIT)

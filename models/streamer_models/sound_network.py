"""Sounds that are no speech, every 40 ms: a small causal network over mel power, exact as a stream."""

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

CLASSES = ("laugh", "sigh", "cry", "cough", "music")
BANDS = 40
"""Mel bands of a column, which comes every 10 ms."""
COLUMNS = 4
"""Columns for each output."""
DELAY = 15
"""Outputs (0.6 s) by which what is said of a moment comes later than it."""


class Shipped(NamedTuple):
    """The weights that ship, and what they may be used for."""

    name: str
    version: str
    license: str


SOUNDS = Shipped(
    "sounds-1",
    "1",
    "not for commercial use, see its MODEL_CARD.md; sounds.detect=false does without",
)

_WIDTH = 64
_DILATIONS = (1, 2, 4, 8, 16)
FLOOR = 1e-7
"""Least power in a band."""

State = tuple[Tensor, ...]
"""For each convolution the inputs that its next output needs, [B, channels, kept]."""


class CausalConvolution(nn.Module):
    """A convolution over time whose outputs depend on the past alone."""

    def __init__(self, inputs: int, outputs: int, width: int, stride: int, dilation: int) -> None:
        super().__init__()
        self.kept = (width - 1) * dilation - (stride - 1)
        self.inputs = inputs
        self.convolution = nn.Conv1d(inputs, outputs, width, stride, dilation=dilation, bias=False)
        self.norm = nn.BatchNorm1d(outputs)

    def forward(self, x: Tensor, before: Tensor) -> tuple[Tensor, Tensor]:
        """[B, inputs, T] and the inputs kept -> [B, outputs, T / stride] and those to keep."""
        joined = torch.cat((before, x), dim=2)
        out = functional.relu(self.norm(self.convolution(joined)))
        return out, joined[:, :, joined.shape[2] - self.kept :]


class SoundNetwork(nn.Module):
    """Mel power -> scores of the classes, and last of speech."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.BatchNorm1d(BANDS)
        self.stem = nn.ModuleList(
            CausalConvolution(inputs, _WIDTH, 5, 2, 1) for inputs in (BANDS, _WIDTH)
        )
        self.blocks = nn.ModuleList(
            CausalConvolution(_WIDTH, _WIDTH, 3, 1, dilation) for dilation in _DILATIONS
        )
        self.dropout = nn.Dropout(0.1)
        self.scores = nn.Conv1d(_WIDTH, len(CLASSES) + 1, 1)

    def begin(self, batch: int = 1) -> State:
        """Return the state before the first column: silence."""
        layers = (*self.stem, *self.blocks)
        return tuple(torch.zeros(batch, layer.inputs, layer.kept) for layer in layers)

    def forward(self, power: Tensor, state: State) -> tuple[Tensor, State]:
        """Score columns.

        Args:
            power: In mel bands, [B, T, 40]; T a multiple of `COLUMNS`.
            state: After the columns before.

        Returns:
            Logits [B, T / 4, classes + 1], the one at n about the moment n - `DELAY`; and the state after them.
        """
        x = self.scale(power.clamp(min=FLOOR).log10().transpose(1, 2))
        after = []
        for layer, before in zip(self.stem, state[: len(self.stem)], strict=True):
            x, kept = layer(x, before)
            after.append(kept)
        for layer, before in zip(self.blocks, state[len(self.stem) :], strict=True):
            out, kept = layer(x, before)
            x = x + out
            after.append(kept)
        return self.scores(self.dropout(x)).transpose(1, 2), tuple(after)

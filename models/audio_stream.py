"""The audio encoder while someone speaks: the same embedding, computed as the samples arrive.

LEAF's columns need 25 ms around their centre, PCEN is a recursion, the CNN's convolutions are valid ones and its
mean over time is a running sum. So each block of frames is work done once, and little is left for the end.
"""

from collections import deque
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.audio_encoder import COLUMN_HOP, RECEPTIVE_FIELD, AudioEncoder

Samples: TypeAlias = npt.NDArray[np.float32]

_BLOCK = COLUMN_HOP
"""Frames that the stream advances by: always the same ones, so that chunks do not change results."""

_KEPT_BLOCKS = 12
"""Blocks that can be gone back to: 2.8 s, of which the receptive field takes half."""


class AudioStream:
    """One utterance's embedding, from its first sample on.

    Args:
        encoder: an audio encoder in evaluation mode; it is not changed.
    """

    def __init__(self, encoder: AudioEncoder) -> None:
        self._encoder = encoder
        self._hop = encoder.config.leaf.hop
        self._half = encoder.config.leaf.reach
        self._pushed = 0
        self._samples: Samples = np.zeros(0, np.float32)
        self._first = 0
        """Index of the first sample kept: the beginning of a frame."""
        self._cnn = _ColumnStream(encoder.cnn.layers)
        self._nothing = torch.zeros(1, encoder.config.leaf.filters, 0)
        start = _Block(0, self._nothing, None, torch.zeros(encoder.config.embedding), 0)
        self._blocks: deque[_Block] = deque([start], maxlen=_KEPT_BLOCKS)

    @torch.inference_mode()
    def push(self, samples: Samples) -> None:
        """Take the samples that follow, float32 in [-1, 1], any number of them."""
        self._samples = np.concatenate([self._samples, samples])
        self._pushed += len(samples)
        while self._pushed >= self._needed(self._blocks[-1].end + _BLOCK):
            self._advance()

    @torch.inference_mode()
    def embedding(self, end: int | None = None) -> Tensor:
        """The embedding [embedding] of the utterance as if it ended at a sample.

        Args:
            end: samples from the beginning; None for all that was pushed. At most a second may lie between the two.

        Raises:
            ValueError: it lies in the future, or too far back.
        """
        end = self._pushed if end is None else end
        if end > self._pushed or end < 0:
            raise ValueError(f"the utterance has {self._pushed} samples, not {end}")
        frames = max(1, -(-end // self._hop))
        known = self._known(frames, end)
        tail = self._tail(known, frames, end)
        if frames < RECEPTIVE_FIELD:
            return self._short(known, tail)
        columns = (frames - RECEPTIVE_FIELD) // COLUMN_HOP + 1
        total = known.sum
        if columns > known.columns:
            features = torch.cat([*(b.features for b in self._until(known)), tail], dim=-1)
            begin = self._blocks[0].end - self._blocks[0].features.shape[-1]
            wanted = features[..., known.columns * COLUMN_HOP - begin : frames - begin]
            total = total + self._encoder.cnn.columns(wanted)[0].sum(dim=-1)
        return total / columns

    def _advance(self) -> None:
        last = self._blocks[-1]
        energies = self._energies(last.end, last.end + _BLOCK, self._pushed)
        features, mean = self._encoder.leaf.pcen(energies, last.mean)
        columns = self._cnn(features)
        self._blocks.append(
            _Block(
                last.end + _BLOCK,
                features,
                mean,
                last.sum + columns.sum(dim=-1),
                last.columns + columns.shape[-1],
            )
        )
        keep = max(0, self._blocks[0].end - _BLOCK) * self._hop
        self._samples = self._samples[keep - self._first :]
        self._first = keep

    def _needed(self, frames: int) -> int:
        """Samples after which so many frames do not change any more."""
        return (frames - 1) * self._hop + self._half + 1

    def _known(self, frames: int, end: int) -> "_Block":
        """The last block whose frames are those of an utterance that ends there."""
        for block in reversed(self._blocks):
            if block.end <= frames and (block.end == 0 or self._needed(block.end) <= end):
                return block
        raise ValueError("that end lies too far back")

    def _until(self, known: "_Block") -> "list[_Block]":
        return [block for block in self._blocks if block.end <= known.end]

    def _tail(self, known: "_Block", frames: int, end: int) -> Tensor:
        """Features of the frames behind the last known block, silence behind the end."""
        missing = max(0, RECEPTIVE_FIELD - frames)
        energies = self._nothing
        if known.end < frames:
            energies = self._energies(known.end, frames, end)
        floor = self._encoder.config.leaf.floor
        energies = nn.functional.pad(energies, (0, missing), value=floor)
        if energies.shape[-1] == 0:
            return energies
        features: Tensor = self._encoder.leaf.pcen(energies, known.mean)[0]
        return features

    def _short(self, known: "_Block", tail: Tensor) -> Tensor:
        """The embedding of an utterance that had to be filled up to one column."""
        features = torch.cat([*(b.features for b in self._until(known)), tail], dim=-1)
        column: Tensor = self._encoder.cnn.columns(features)[0, :, 0]
        return column

    def _energies(self, start: int, stop: int, end: int) -> Tensor:
        """LEAF's energies [1, filters, stop - start] of some frames, the audio ending at sample `end`."""
        before = 1 if start else 0  # a frame of audio ahead: what the filters reach back to
        begin = (start - before) * self._hop
        finish = min((stop - 1) * self._hop + self._half + 1, end)
        wave = torch.from_numpy(self._samples[begin - self._first : finish - self._first])
        energies = self._encoder.leaf.energies(wave[None])
        return energies[..., before : before + stop - start]


class _Block:
    """What is known after some frames: enough to go on, or to end, from there."""

    def __init__(
        self,
        end: int,
        features: Tensor,
        mean: Tensor | None,
        total: Tensor,
        columns: int,
    ) -> None:
        self.end = end
        """Frames so far."""
        self.features = features
        """Of this block's own frames."""
        self.mean = mean
        """PCEN's average after them."""
        self.sum = total
        """Of the CNN's columns so far."""
        self.columns = columns


class _ColumnStream:
    """The convolutions, a block of frames at a time: each layer keeps the columns it needs again."""

    def __init__(self, layers: nn.Sequential) -> None:
        self._layers = list(layers)
        self._held: dict[int, Tensor] = {}

    def __call__(self, features: Tensor) -> Tensor:
        """Features [1, bands, n] that follow -> the columns [embedding, m] that they complete."""
        x = features[:, None]
        for index, layer in enumerate(self._layers):
            if isinstance(layer, nn.Conv2d):
                x = self._joined(index, x)
                self._held[index] = x[..., max(0, x.shape[-1] - 2) :]
                if x.shape[-1] < 3:
                    x = x[..., :0]
                    break
            elif isinstance(layer, nn.AvgPool2d):
                x = self._joined(index, x)
                even = x.shape[-1] // 2 * 2
                self._held[index] = x[..., even:]
                x = x[..., :even]
                if not even:
                    break
            x = layer(x)
        else:
            return x.mean(dim=2)[0]
        return features.new_zeros(self._channels(), 0)

    def _joined(self, index: int, x: Tensor) -> Tensor:
        return torch.cat([self._held[index], x], dim=-1) if index in self._held else x

    def _channels(self) -> int:
        return next(
            layer.out_channels for layer in reversed(self._layers) if isinstance(layer, nn.Conv2d)
        )

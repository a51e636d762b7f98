"""The audio encoder while someone speaks: the same embedding, computed as the samples arrive.

LEAF's columns need 25 ms around their centre, PCEN is a recursion, the CNN's convolutions are valid ones and its
mean over time is a running sum. So each block of frames is work done once, and little is left for the end.
"""

from collections import deque
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.audio_encoder import COLUMN_HOP, RECEPTIVE_FIELD, AudioEncoder

Samples: TypeAlias = npt.NDArray[np.float32]

_BLOCK = 12
"""Frames that the stream advances by: always the same ones, so that chunks do not change results."""

_KEPT_BLOCKS = 10
"""Blocks that can be gone back to: 3.6 s, of which the receptive field takes half."""


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
        self._samples: Samples = np.zeros(self._half, np.float32)
        self._first = -self._half
        """Index of the first sample kept."""
        self._convolved: list[Tensor] = []
        """What the convolutions keep from block to block."""
        self._nothing = torch.zeros(1, encoder.config.leaf.filters, 0)
        self._waiting = self._nothing
        """Features on their way to the next column."""
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
            end: samples from the beginning; None for all that was pushed. At most 1.5 s may lie between the two.

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

    def estimate(self) -> Tensor:
        """The embedding [embedding] of the blocks that are done, up to 0.4 s behind: it costs nothing.

        Before the first column is done it is `embedding()`.
        """
        known = self._blocks[-1]
        return known.sum / known.columns if known.columns else self.embedding()

    def _advance(self) -> None:
        last = self._blocks[-1]
        energies = self._energies(last.end, last.end + _BLOCK, self._pushed)
        features, means = self._encoder.leaf.pcen(energies, last.mean)
        columns = self._columns(features)
        self._blocks.append(
            _Block(
                last.end + _BLOCK,
                features,
                means[..., -1],
                last.sum + columns.sum(dim=-1),
                last.columns + columns.shape[-1],
            )
        )
        keep = self._blocks[0].end * self._hop - self._half
        self._samples = self._samples[keep - self._first :]
        self._first = keep

    def _columns(self, features: Tensor) -> Tensor:
        """The columns [embedding, n] that these features complete."""
        waiting = torch.cat([self._waiting, features], dim=-1)
        needed = COLUMN_HOP if self._convolved else RECEPTIVE_FIELD
        if waiting.shape[-1] < needed:
            self._waiting = waiting
            return torch.zeros(self._encoder.config.embedding, 0)
        ready = waiting.shape[-1] - (waiting.shape[-1] - needed) % COLUMN_HOP
        self._waiting = waiting[..., ready:]
        columns, self._convolved = self._encoder.cnn.advance(waiting[..., :ready], self._convolved)
        return columns[0]

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
        begin, finish = start * self._hop - self._half, self._needed(stop)
        heard = torch.from_numpy(
            self._samples[begin - self._first : min(finish, end) - self._first]
        )
        wave = nn.functional.pad(heard, (0, finish - begin - len(heard)))
        return self._encoder.leaf.energies_within(wave[None])


@dataclass(frozen=True)
class _Block:
    """What is known after some frames: enough to go on, or to end, from there."""

    end: int
    """Frames so far."""
    features: Tensor
    """Of this block's own frames."""
    mean: Tensor | None
    """PCEN's average after them."""
    sum: Tensor
    """Of the CNN's columns so far."""
    columns: int

"""The audio embedding of an utterance while it is being spoken: each sample is worked on once, as it arrives."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.audio_encoder import COLUMN_HOP, RECEPTIVE_FIELD, AudioEncoder

_BLOCK = 8
"""Frames worked on at once: few enough to leave little for the end, enough to share each step's overhead."""


class AudioStream:
    """One utterance on its way through an `AudioEncoder`.

    The embedding equals the encoder's of the same samples. What it holds does not grow with the utterance: the
    samples, features and sums from which the embedding at any of the last `look_back` samples can be completed.
    """

    def __init__(self, encoder: AudioEncoder, look_back: int = 24_000) -> None:
        if encoder.training:
            raise ValueError("a stream needs its encoder in evaluation mode: call encoder.eval()")
        self._encoder = encoder
        self._look_back = look_back
        self._hop = encoder.config.leaf.hop
        self._context = encoder.config.leaf.reach
        self._pushed = 0
        self._chunks: list[NDArray[np.float32]] = [np.zeros(self._context, dtype=np.float32)]
        self._audio_start = -self._context
        bands = encoder.config.leaf.filters
        self._features = torch.zeros(1, bands, 0)
        self._means = torch.zeros(1, bands, 0)
        self._first_frame = 0
        self._sums = torch.zeros(1, encoder.config.embedding, 1, dtype=torch.float64)
        self._first_sum = 0
        self._state: list[Tensor] = []

    @property
    def pushed(self) -> int:
        """Samples received so far."""
        return self._pushed

    def push(self, samples: NDArray[np.float32]) -> None:
        """Take the next samples, float32 [n] in [-1, 1], any number of them."""
        self._chunks.append(np.array(samples, dtype=np.float32))
        self._pushed += len(samples)
        if self._complete(self._pushed) - self._frames >= _BLOCK:
            self._advance()

    @torch.no_grad()
    def embedding(self, end: int | None = None) -> Tensor:
        """The embedding of the utterance as if it ended at sample `end` (by default: at the last one), [embedding].

        Raises:
            ValueError: `end` lies in the future, or further back than `look_back`.
        """
        end = self._pushed if end is None else end
        if not max(0, self._pushed - self._look_back) <= end <= self._pushed:
            raise ValueError(
                f"sample {end} is not among the last {self._look_back} of {self._pushed}"
            )
        self._advance()
        frames = max(1, -(-end // self._hop))
        columns = max(0, (frames - RECEPTIVE_FIELD) // COLUMN_HOP + 1)
        whole = min(frames, self._complete(end))
        known = max(0, (whole - RECEPTIVE_FIELD) // COLUMN_HOP + 1)
        total = self._sums[..., known - self._first_sum]
        if known < max(1, columns):
            window = self._window(known * COLUMN_HOP, whole, frames, end)
            total = total + self._encoder.cnn.columns(window)[..., 0]
        return (total[0] / max(1, columns)).float()

    @property
    def _frames(self) -> int:
        """Frames whose features are known."""
        return self._first_frame + self._features.shape[-1]

    def _complete(self, end: int) -> int:
        """Frames of which all is known that they depend on, given the samples before `end`."""
        return max(0, (end - self._context - 1) // self._hop + 1)

    def _window(self, first: int, whole: int, frames: int, end: int) -> Tensor:
        """The features from frame `first` for one column; those from `whole` on see silence after sample `end`."""
        before = self._features[..., first - self._first_frame : whole - self._first_frame]
        energies = [self._energies(whole, frames, end)] if whole < frames else []
        silence = first + RECEPTIVE_FIELD - frames
        floor = self._encoder.config.leaf.floor
        energies.append(torch.full((1, before.shape[1], max(0, silence)), floor))
        after, _ = self._encoder.leaf.pcen(torch.cat(energies, dim=-1), self._mean_before(whole))
        return torch.cat([before, after], dim=-1)

    def _mean_before(self, frame: int) -> Tensor | None:
        return self._means[..., frame - self._first_frame - 1] if frame else None

    def _energies(self, first: int, last: int, end: int) -> Tensor:
        """Energies [1, filters, last - first] of frames, with silence after sample `end`."""
        audio = np.concatenate(self._chunks)
        self._chunks = [audio]
        start = first * self._hop - self._context
        stop = (last - 1) * self._hop + self._context + 1
        samples = torch.zeros(stop - start)
        heard = audio[start - self._audio_start : min(stop, end) - self._audio_start]
        samples[: len(heard)] = torch.from_numpy(heard)
        return self._encoder.leaf.energies_within(samples[None])

    @torch.no_grad()
    def _advance(self) -> None:
        """Work on the frames that have become complete."""
        first, last = self._frames, self._complete(self._pushed)
        if first == last:
            return
        energies = self._energies(first, last, self._pushed)
        features, means = self._encoder.leaf.pcen(energies, self._mean_before(first))
        self._features = torch.cat([self._features, features], dim=-1)
        self._means = torch.cat([self._means, means], dim=-1)
        self._add_columns()
        self._forget()

    def _add_columns(self) -> None:
        done = self._first_sum + self._sums.shape[-1] - 1
        used = RECEPTIVE_FIELD + (done - 1) * COLUMN_HOP if done else 0
        columns = max(0, (self._frames - RECEPTIVE_FIELD) // COLUMN_HOP + 1)
        if columns == done:
            return
        stop = RECEPTIVE_FIELD + (columns - 1) * COLUMN_HOP
        fresh = self._features[..., used - self._first_frame : stop - self._first_frame]
        new, self._state = self._encoder.cnn.advance(fresh, self._state)
        sums = self._sums[..., -1:] + new.double().cumsum(dim=-1)
        self._sums = torch.cat([self._sums, sums], dim=-1)

    def _forget(self) -> None:
        """Drop what no embedding that can still be asked for depends on."""
        oldest = max(0, self._pushed - self._look_back) // self._hop
        columns = max(0, (oldest - RECEPTIVE_FIELD) // COLUMN_HOP)
        self._sums = self._sums[..., columns - self._first_sum :]
        self._first_sum = columns
        frame = columns * COLUMN_HOP
        self._features = self._features[..., frame - self._first_frame :]
        self._means = self._means[..., frame - self._first_frame :]
        self._first_frame = frame
        start = max(0, oldest - 1) * self._hop - self._context
        self._chunks = [np.concatenate(self._chunks)[start - self._audio_start :]]
        self._audio_start = start

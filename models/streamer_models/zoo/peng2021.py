"""Peng et al., "Efficient speech emotion recognition using multi-scale CNN and attention" (ICASSP 2021).

Parallel convolutions of several widths over audio frames and over tokens; a statistical pooling unit (maximum, mean,
deviation over time) for each; each audio statistic attends to the text maps.

Deviations: no x-vector and no GloVe; maximum and mean of the token embeddings take the place of the latter. Written
from the paper's equations: the public re-implementation attends with the first kernel's statistics for the last
kernel, and drops two of the text statistics.
"""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from streamer_models.config import Width
from streamer_models.layers.masking import masked_max, masked_mean, masked_softmax
from streamer_models.layers.pooling import RunningStatistics, statistical_unit
from streamer_models.sequences import Sequences, Utterances
from streamer_models.zoo.base import UtteranceConfig, UtteranceSystem

Kernels = Annotated[
    tuple[Annotated[int, Field(ge=1, le=64)], ...], Field(min_length=1, max_length=8)
]


class Peng2021Config(UtteranceConfig):
    """Sizes; the kernels are the paper's."""

    audio_kernels: Kernels = (5, 7, 9, 11)
    text_kernels: Kernels = (2, 3, 4, 5)
    filters: Width = 128


class Peng2021(UtteranceSystem):
    """Multi-scale convolutions, statistics, and attention of audio statistics to text."""

    name: ClassVar = "peng2021"
    config_class: ClassVar = Peng2021Config

    def __init__(self, config: Peng2021Config) -> None:
        super().__init__(config)
        audio, text, _ = config.sizes
        self.audio_maps = MultiScale(audio, config.filters, config.audio_kernels)
        self.text_maps = MultiScale(text, config.filters, config.text_kernels)
        attended = 3 * len(config.text_kernels) * config.filters
        pooled = 3 * config.filters * (len(config.audio_kernels) + len(config.text_kernels))
        self.add_heads(pooled + attended + 2 * text)

    def fused(self, batch: Utterances) -> Tensor:
        """[audio statistics; text statistics; attended text; token maximum and mean]."""
        maps = self.text_maps(batch.text)
        audio = [statistical_unit(*each) for each in self.audio_maps(batch.audio)]
        text = [statistical_unit(*each) for each in maps]
        attended = [attend(audio[place % len(audio)], *each) for place, each in enumerate(maps)]
        words, mask = batch.text.values, batch.text.mask
        parts = [part.flatten(1) for part in (*audio, *text, *attended)]
        return torch.cat([*parts, masked_max(words, mask), masked_mean(words, mask)], dim=-1)


class MultiScale(nn.Module):
    """Convolutions of several widths side by side, each over all features, with a rectifier."""

    def __init__(self, inputs: int, filters: int, kernels: tuple[int, ...]) -> None:
        super().__init__()
        self.convolutions = nn.ModuleList(nn.Conv1d(inputs, filters, size) for size in kernels)
        self.inputs, self.kernels = inputs, kernels

    def forward(self, sequences: Sequences) -> list[tuple[Tensor, Tensor]]:
        """Return maps [B, T', filters] of each width and their masks; a sequence shorter than a kernel has one step."""
        lengths = sequences.mask.sum(1)
        maps = []
        for convolution, size in zip(self.convolutions, self.kernels, strict=True):
            missing = max(0, size - sequences.values.shape[1])
            x = nn.functional.pad(sequences.values, (0, 0, 0, missing)).transpose(1, 2)
            y = torch.relu(convolution(x)).transpose(1, 2)
            steps = (lengths - size + 1).clamp(min=1) * sequences.present
            mask = torch.arange(y.shape[1], device=y.device) < steps[:, None]
            maps.append((y, mask))
        return maps


class AudioStatisticsStream:
    """The audio statistics of one utterance while its frames arrive, equal to those of the whole.

    Args:
        maps: The trained convolutions over audio.
    """

    def __init__(self, maps: MultiScale) -> None:
        self._maps = maps
        self._kept = torch.zeros(0, maps.inputs)
        """The last frames: as many as the widest kernel overlaps."""
        self._pushed = 0
        self._statistics = [RunningStatistics() for _ in maps.kernels]

    @torch.inference_mode()
    def push(self, frames: Tensor) -> None:
        """Take the frames that follow, [T, inputs]."""
        before = len(self._kept)
        kept = torch.cat([self._kept, frames])
        for convolution, size, running in zip(
            self._maps.convolutions, self._maps.kernels, self._statistics, strict=True
        ):
            new = kept[max(0, before - size + 1) :]
            if len(new) >= size:
                running.push(torch.relu(convolution(new.T[None]))[0].T)
        self._pushed += len(frames)
        most = max(self._maps.kernels) - 1
        self._kept = kept[max(0, len(kept) - most) :]

    @torch.inference_mode()
    def result(self) -> list[Tensor]:
        """Return maximum, mean and deviation of each width's map, [3, filters] each.

        Raises:
            ValueError: No frame was pushed.
        """
        results = []
        for convolution, size, running in zip(
            self._maps.convolutions, self._maps.kernels, self._statistics, strict=True
        ):
            if self._pushed and self._pushed < size:
                padded = nn.functional.pad(self._kept, (0, 0, 0, size - self._pushed))
                running = RunningStatistics()  # noqa: PLW2901 - of the one step there is
                running.push(torch.relu(convolution(padded.T[None]))[0].T)
            results.append(running.result())
        return results


def attend(statistics: Tensor, maps: Tensor, mask: Tensor) -> Tensor:
    """Return sum of the text maps weighted by softmax_k(e_g h_k), for each audio statistic e_g.

    Args:
        statistics: [B, 3, filters].
        maps: [B, T, filters].
        mask: bool [B, T].

    Returns:
        [B, 3, filters].
    """
    weights = masked_softmax(statistics @ maps.mT, mask[:, None])
    return weights @ maps

"""The audio encoder: LEAF, then a convolutional network whose mean over time is the embedding of an utterance."""

from collections.abc import Callable
from itertools import pairwise
from typing import ClassVar, Literal

import torch
from pydantic import model_validator
from torch import Tensor, nn

from streamer_models.config import EncoderConfig
from streamer_models.contract import SAMPLE_RATE, AudioStream
from streamer_models.layers.leaf import Leaf, LeafConfig

RECEPTIVE_FIELD = 36
"""Frames that one column of the convolutional network sees."""

COLUMN_HOP = 8
"""Frames from column to column."""


class LeafCnnConfig(EncoderConfig):
    """Sizes of the audio encoder."""

    encoder: Literal["leaf_cnn"] = "leaf_cnn"
    leaf: LeafConfig = LeafConfig()

    @model_validator(mode="after")
    def _consistent(self) -> "LeafCnnConfig":
        if self.leaf.filters < RECEPTIVE_FIELD:
            raise ValueError(f"leaf.filters: the convolutions need {RECEPTIVE_FIELD} at least")
        return self


class ConvolutionalEncoder(nn.Module):
    """Six valid 3x3 convolutions with batch norm and ReLU, 2x2 average pooling after each second one.

    Takes bands by frames as an image. Time has a receptive field of 36 frames and a hop of 8; what is left of the
    bands (nothing of 40, four rows of 64) is averaged.
    """

    def __init__(self, bands: int, embedding: int = 100) -> None:
        super().__init__()
        if bands < RECEPTIVE_FIELD:
            raise ValueError(f"{bands} bands are too few: the convolutions need {RECEPTIVE_FIELD}")
        self.bands = bands
        widths = (1, 32, 32, 64, 64, 128, embedding)
        layers: list[nn.Module] = []
        for index, (inputs, outputs) in enumerate(pairwise(widths)):
            convolution = nn.Conv2d(inputs, outputs, 3, bias=False)
            # the order of memory in which CPUs convolve few channels faster
            convolution.weight.data = convolution.weight.data.contiguous(
                memory_format=torch.channels_last
            )
            layers += [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]
            if index % 2:
                layers.append(nn.AvgPool2d(2))
        self.layers = nn.Sequential(*layers)

    def columns(self, features: Tensor) -> Tensor:
        """Map features [B, bands, F] with F >= 36 -> columns [B, embedding, (F - 36) // 8 + 1]."""
        maps: Tensor = self.layers(features[:, None])
        return maps.mean(dim=2)

    def forward(self, features: Tensor, frames: Tensor | None = None) -> Tensor:
        """Return the mean of the columns that lie within each utterance.

        Args:
            features: [B, bands, F]. Fewer than 36 frames are filled up with zeros.
            frames: int64 [B], the valid frames of each utterance; None: all.

        Returns:
            Embeddings [B, embedding].
        """
        missing = RECEPTIVE_FIELD - features.shape[-1]
        maps = self.columns(nn.functional.pad(features, (0, max(0, missing))))
        if frames is None:
            return maps.mean(dim=2)
        valid = column_count(frames)
        inside = torch.arange(maps.shape[-1], device=maps.device) < valid[:, None]
        summed: Tensor = torch.where(inside[:, None], maps, 0).sum(dim=2)
        return summed / valid[:, None]


class LeafCnn(nn.Module):
    """Waveform -> embedding of the utterance.

    After its end an utterance is silence: energies at LEAF's floor. One that is shorter than the receptive field is
    continued with it to one column. So neither the batch that it is in nor what lies behind it changes its embedding.
    """

    config_class: ClassVar = LeafCnnConfig
    max_samples = 600 * SAMPLE_RATE

    def __init__(self, config: LeafCnnConfig | None = None) -> None:
        super().__init__()
        self.config = config or LeafCnnConfig()
        self.leaf = Leaf(self.config.leaf)
        self.cnn = ConvolutionalEncoder(self.config.leaf.filters, self.config.embedding)

    @property
    def embedding_size(self) -> int:
        """Size of an embedding."""
        return self.config.embedding

    @property
    def receptive_field(self) -> int:
        """Samples that the first column depends on."""
        return (RECEPTIVE_FIELD - 1) * self.config.leaf.hop + self.config.leaf.reach + 1

    def streams(self) -> Callable[[], AudioStream]:
        """Prepare the weights, which are final, for a stream for each utterance."""
        from streamer_models.streaming import LeafCnnStream

        return LeafCnnStream.prepared(self)

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Embed utterances.

        Args:
            wave: float32 [B, T] in [-1, 1].
            lengths: int64 [B], the samples of each utterance; None: T.

        Returns:
            Embeddings [B, embedding].
        """
        energies, frames = self.energies(wave, lengths)
        return self.from_energies(energies, frames)

    def energies(self, wave: Tensor, lengths: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Return energies [B, filters, F] and the valid frames [B] of utterances; cheap to keep, for training."""
        if lengths is None:
            lengths = torch.full((wave.shape[0],), wave.shape[-1], device=wave.device)
        inside = torch.arange(wave.shape[-1], device=wave.device) < lengths[:, None]
        energies = self.leaf.energies(torch.where(inside, wave, 0))
        hop = self.config.leaf.hop
        return energies, torch.div(lengths + hop - 1, hop, rounding_mode="floor").clamp(min=1)

    def features(self, energies: Tensor, frames: Tensor) -> Tensor:
        """Return compressed energies [B, filters, max(F, 36)], silent after each utterance's end."""
        missing = max(0, RECEPTIVE_FIELD - energies.shape[-1])
        padded = nn.functional.pad(energies, (0, missing))
        inside = torch.arange(padded.shape[-1], device=padded.device) < frames[:, None]
        return self.leaf.compress(torch.where(inside[:, None], padded, self.config.leaf.floor))

    def from_energies(self, energies: Tensor, frames: Tensor) -> Tensor:
        """Map energies [B, filters, F] and valid frames [B] -> embeddings [B, embedding]."""
        embedding: Tensor = self.cnn(self.features(energies, frames), frames)
        return embedding


def column_count(frames: Tensor) -> Tensor:
    """Return columns of utterances of so many frames; at least one."""
    return torch.div(frames - RECEPTIVE_FIELD, COLUMN_HOP, rounding_mode="floor").clamp(min=0) + 1

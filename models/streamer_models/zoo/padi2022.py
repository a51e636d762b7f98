"""Padi et al., "Multimodal emotion recognition using transfer learning from speaker recognition and BERT-based models".

Odyssey 2022, arXiv 2202.08974; its audio part: arXiv 2108.02510. A ResNet over log-mel frames with statistics pooling
is trained to tell speakers first; BERT's tokens are classified by themselves; their scores are fused with one weight.

Deviations: fewer channels than ResNet-34; trained on the speakers at hand or, without channels, over the frames of a
speaker encoder that others trained, which stay as they are (`speaker_frames`); mask sizes of SpecAugment are LEAF's,
as the paper's are not known; the weight of the fusion is chosen on development data and stored as a buffer.
"""

from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor, nn

from streamer_models.config import Width
from streamer_models.contract import Scores
from streamer_models.layers.masking import masked_mean
from streamer_models.layers.pooling import statistics
from streamer_models.sequences import Sequences, Utterances
from streamer_models.zoo.base import UtteranceConfig, UtteranceSystem


class Padi2022Config(UtteranceConfig):
    """Sizes of the two branches."""

    channels: Annotated[tuple[Width, ...], Field(max_length=6)] = (16, 32, 64, 128)
    """Of the ResNet's blocks; none: frames are pooled as they are."""
    hidden: Width = 128
    """Of the speaker embedding and of the text branch."""
    speakers: Annotated[int, Field(ge=0, le=100_000)] = 0
    """Speakers of the pre-training; 0: without its classifier."""
    context: Literal[1] = 1
    """Scores of utterances are not put into context."""


class Padi2022(UtteranceSystem):
    """A speaker ResNet and a text classifier, fused by their scores."""

    name: ClassVar = "padi2022"
    config_class: ClassVar = Padi2022Config

    def __init__(self, config: Padi2022Config) -> None:
        super().__init__(config)
        audio, text, _ = config.sizes
        self.resnet = ResNet(config.channels) if config.channels else None
        width = self.resnet.width(audio) if self.resnet else audio
        self.embed = nn.Linear(2 * width, config.hidden)
        self.speaker = nn.Linear(config.hidden, config.speakers) if config.speakers else None
        self.text_hidden = nn.Sequential(nn.Linear(text, config.hidden), nn.ReLU())
        self.audio_classifier = nn.Linear(config.hidden, len(config.labels))
        self.text_classifier = nn.Linear(config.hidden, len(config.labels))
        self.drop = nn.Dropout(config.dropout)
        self.weight: Tensor
        self.register_buffer("weight", torch.tensor(0.5))

    def forward(self, batch: Utterances) -> Scores:
        """Score utterances by the weighted mean of both branches' probabilities, as logarithms."""
        audio, text = self.branches(batch)
        return Scores(late_fusion(audio, text, batch, float(self.weight)))

    def branches(self, batch: Utterances) -> tuple[Tensor, Tensor]:
        """Return logits [B, classes] by audio, and by text."""
        audio = self.audio_classifier(self.drop(torch.relu(self.speaker_embedding(batch.audio))))
        pooled = masked_mean(batch.text.values, batch.text.mask)
        return audio, self.text_classifier(self.drop(self.text_hidden(pooled)))

    def speaker_embedding(self, audio: Sequences) -> Tensor:
        """Return the speaker embedding, [B, hidden]."""
        frames = self.resnet(audio) if self.resnet else (audio.values, audio.mask)
        embedding: Tensor = self.embed(statistics(*frames))
        return embedding

    @torch.inference_mode()
    def voice(self, frames: Tensor) -> NDArray[np.float32]:
        """Return the speaker embedding [hidden] of frames [T, bands]."""
        audio = Sequences.of([frames], self.config.sizes[0], self.device)
        return np.asarray(self.speaker_embedding(audio)[0].cpu())

    def speaker_logits(self, audio: Sequences) -> Tensor:
        """Return logits [B, speakers] of the pre-training."""
        if self.speaker is None:
            raise ValueError("without a classifier of speakers")
        logits: Tensor = self.speaker(torch.relu(self.speaker_embedding(audio)))
        return logits


class ResNet(nn.Module):
    """Residual blocks over frames and bands; each but the first halves both."""

    def __init__(self, channels: tuple[int, ...]) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, channels[0], 3, padding=1, bias=False)
        pairs = zip((channels[0], *channels), channels, strict=False)
        self.blocks = nn.ModuleList(
            ResidualBlock(inputs, outputs, 1 if index == 0 else 2)
            for index, (inputs, outputs) in enumerate(pairs)
        )
        self.halvings = len(channels) - 1
        self.channels = channels[-1]

    def width(self, bands: int) -> int:
        """Return the size of an output vector for so many bands."""
        for _ in range(self.halvings):
            bands = (bands + 1) // 2
        return bands * self.channels

    def forward(self, audio: Sequences) -> tuple[Tensor, Tensor]:
        """Map sequences [B, T, bands] -> vectors [B, ceil(T / 2^n), width] and their mask; padding stays zero."""
        mask = audio.mask
        maps = self.first(audio.values[:, None]) * mask[:, None, :, None]
        for block in self.blocks:
            maps, mask = block(maps, mask)
        return maps.transpose(1, 2).flatten(2), mask


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with batch norm, and a shortcut; padding is zero before and after."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.first = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(outputs) for _ in range(2))
        changed = stride != 1 or inputs != outputs
        self.shortcut = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if changed else None

    def forward(self, x: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
        """Map feature maps [B, C, T, F] and their mask [B, T] -> the same, after the stride."""
        mask = mask[:, :: self.stride]
        real = mask[:, None, :, None]
        y = torch.relu(self.norms[0](self.first(x))) * real
        y = self.norms[1](self.second(y)) * real
        residual = x if self.shortcut is None else self.shortcut(x)
        return torch.relu(y + residual) * real, mask


def late_fusion(audio: Tensor, text: Tensor, batch: Utterances, weight: float) -> Tensor:
    """log(weight * p_audio + (1 - weight) * p_text); an utterance without one of them has the other's alone."""
    has_audio, has_text = batch.audio.present[:, None], batch.text.present[:, None]
    share = torch.where(has_audio & has_text, weight, torch.where(has_text, 0.0, 1.0))
    mixed = share * audio.softmax(-1) + (1 - share) * text.softmax(-1)
    return mixed.clamp(min=1e-8).log()


def spec_augment(
    values: Tensor, generator: torch.Generator, *, bands: int = 10, frames: int = 10, masks: int = 2
) -> Tensor:
    """Return frames [B, T, F] with stretches of bands and of frames set to zero (Park et al., 2019)."""
    masked = values.clone()
    for row in masked:
        for _ in range(masks):
            for axis, most in ((1, bands), (0, frames)):
                size = row.shape[axis]
                wide = int(torch.randint(0, min(most, size) + 1, (), generator=generator))
                at = int(torch.randint(0, size - wide + 1, (), generator=generator))
                row.narrow(axis, at, wide).zero_()
    return masked

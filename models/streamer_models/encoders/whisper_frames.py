"""Whisper's encoder (Radford et al., 2022) as frames, for systems that attend to what is said when.

A frame is the mean over the pooled layers, each normalised, and over some of the encoder's steps of 20 ms; the silence
before the first and behind the last step with speech is left out.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from streamer_models.config import EncoderConfig, Width
from streamer_models.encoders.whisper import (
    HOP,
    WINDOW,
    WhisperBackbone,
    WhisperSizes,
    encoded,
    has_bfloat16,
)

_LIMIT = 8.0
"""Deviations from the mean at which a value is cut off."""


class WhisperFramesConfig(WhisperSizes, EncoderConfig):
    """Sizes; a frame is as wide as the encoder."""

    encoder: Literal["whisper_frames"] = "whisper_frames"
    embedding: Width = 384
    joined: Annotated[int, Field(ge=1, le=50)] = 5
    """Steps of 20 ms that are averaged to a frame."""

    @model_validator(mode="after")
    def _as_wide(self) -> "WhisperFramesConfig":
        if self.embedding != self.width:
            raise ValueError("embedding must equal width")
        return self


class WhisperFrames(nn.Module):
    """Waveform -> a vector every 100 ms of speech.

    `mean` and `deviation` standardise the vectors; training sets them from its data, without a gradient.
    """

    config_class: ClassVar = WhisperFramesConfig
    receptive_field = WINDOW

    def __init__(self, config: WhisperFramesConfig) -> None:
        super().__init__()
        self.config = config
        self.embedding_size = config.embedding
        self.max_samples = 2 * HOP * config.positions
        self.backbone = WhisperBackbone(config)
        self.reduced_precision = has_bfloat16()
        self.mean: Tensor
        self.deviation: Tensor
        self.register_buffer("mean", nn.init.zeros_(torch.empty(config.width)))
        self.register_buffer("deviation", nn.init.ones_(torch.empty(config.width)))

    def forward(self, wave: Tensor, lengths: Tensor | None = None) -> Tensor:
        """Waveforms float32 [B, T] and their lengths int64 [B] (None: T) -> [B, F, width], zero in the padding."""
        ends = [wave.shape[1]] * len(wave) if lengths is None else lengths.tolist()
        rows = [self.standardised(self.frames(row[:n])) for row, n in zip(wave, ends, strict=True)]
        longest = max(map(len, rows))
        return torch.stack([functional.pad(row, (0, 0, 0, longest - len(row))) for row in rows])

    def frames(self, wave: Tensor) -> Tensor:
        """Samples [T] -> frames [F, width], not standardised."""
        layers, speech = encoded(
            self.backbone, self.config, wave, reduced_precision=self.reduced_precision
        )
        places = speech.nonzero()[:, 0]
        steps = functional.layer_norm(layers, layers.shape[-1:]).mean(dim=0)
        steps = steps[int(places[0]) : int(places[-1]) + 1]
        pieces = torch.split(steps, self.config.joined)
        return torch.stack([piece.mean(dim=0) for piece in pieces])

    def standardised(self, frames: Tensor) -> Tensor:
        """Frames by the mean and deviation of the training."""
        return ((frames - self.mean) / self.deviation).clamp(-_LIMIT, _LIMIT)

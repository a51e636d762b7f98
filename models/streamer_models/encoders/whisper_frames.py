"""Whisper's encoder (Radford et al., 2022) as frames, for systems that attend to what is said when.

A frame is the mean over the pooled layers, each normalised, and over some of the encoder's steps of 20 ms; the silence
before the first and behind the last step with speech is left out.
"""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor
from torch.nn import functional

from streamer_models.config import EncoderConfig, Width
from streamer_models.encoders.frozen_frames import FrozenFrames
from streamer_models.encoders.whisper import (
    HOP,
    WINDOW,
    WhisperBackbone,
    WhisperSizes,
    encoded,
    has_bfloat16,
)


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


class WhisperFrames(FrozenFrames):
    """Waveform -> a vector every 100 ms of speech."""

    config_class: ClassVar = WhisperFramesConfig
    receptive_field = WINDOW

    def __init__(self, config: WhisperFramesConfig) -> None:
        super().__init__(config.embedding)
        self.config = config
        self.max_samples = 2 * HOP * config.positions
        self.backbone = WhisperBackbone(config)
        self.reduced_precision = has_bfloat16()

    def frames(self, wave: Tensor) -> Tensor:
        """Map samples [T] -> frames [F, width], not standardised."""
        layers, speech = encoded(
            self.backbone, self.config, wave, reduced_precision=self.reduced_precision
        )
        places = speech.nonzero()[:, 0]
        steps = functional.layer_norm(layers, layers.shape[-1:]).mean(dim=0)
        steps = steps[int(places[0]) : int(places[-1]) + 1]
        pieces = torch.split(steps, self.config.joined)
        return torch.stack([piece.mean(dim=0) for piece in pieces])

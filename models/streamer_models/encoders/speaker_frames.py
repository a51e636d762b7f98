"""The states of the speaker encoder GE2E (Wan et al., 2018) as frames, for systems that begin with who speaks."""

from typing import Annotated, ClassVar, Literal

import numpy as np
import torch
from pydantic import Field, model_validator
from torch import Tensor

from streamer_models.config import EncoderConfig, Width
from streamer_models.contract import SAMPLE_RATE
from streamer_models.encoders.frozen_frames import FrozenFrames
from streamer_models.encoders.ge2e import GE2E, SIZE, Voice, gain, mel_frames
from streamer_models.encoders.log_mel import WINDOW


class SpeakerFramesConfig(EncoderConfig):
    """A frame is as wide as the network."""

    encoder: Literal["speaker_frames"] = "speaker_frames"
    embedding: Width = SIZE
    joined: Annotated[int, Field(ge=1, le=50)] = 10
    """States of 10 ms that are averaged to a frame."""
    seconds: Annotated[float, Field(ge=0.5, le=60)] = 20.0
    """The longest utterance."""

    @model_validator(mode="after")
    def _as_wide(self) -> "SpeakerFramesConfig":
        if self.embedding != SIZE:
            raise ValueError(f"embedding must be {SIZE}")
        return self


class SpeakerFrames(FrozenFrames):
    """Waveform -> the speaker encoder's last layer, a vector every 100 ms."""

    config_class: ClassVar = SpeakerFramesConfig
    receptive_field = WINDOW

    def __init__(self, config: SpeakerFramesConfig) -> None:
        super().__init__(config.embedding)
        self.config = config
        self.max_samples = round(config.seconds * SAMPLE_RATE)
        self.network = GE2E()

    def frames(self, wave: Tensor) -> Tensor:
        """Map samples [T] -> frames [F, width], not standardised."""
        samples = wave.cpu().numpy()
        power = torch.from_numpy(mel_frames(samples) * gain(samples))
        states = self.network.lstm(power[None].to(wave.device))[0][0]
        return torch.stack([piece.mean(dim=0) for piece in torch.split(states, self.config.joined)])

    @torch.inference_mode()
    def voice(self, frames: Tensor) -> Voice:
        """Return the voice that is known after standardised frames [F, width]."""
        state = frames[-1:].float() * self.deviation + self.mean
        return np.asarray(self.network.voices(state)[0].cpu())

"""The speaker encoder GE2E (Wan et al., 2018) as a network in torch, whose states systems of the zoo begin with."""

from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamer_models.bundle import read_shipped
from streamer_models.encoders.log_mel import WINDOW as _FRAME
from streamer_models.encoders.log_mel import mel_power
from streamer_models.shapes import built
from streamer_models.storage import unpack

SIZE = 256
"""Of a vector."""

_FOLDER = "speaker-ge2e-1"
_SHA256 = "a5d4776b403b69593e4a10212aeacf7d35b56e9d0a2022058c6d4f888202e069"
_BANDS = 40
_HIDDEN = 256
_LAYERS = 3
_LEVEL = 10 ** (-30 / 10)
"""Mean power that speech is brought to: -30 dB."""

Samples = NDArray[np.float32]
Voice = NDArray[np.float32]
"""A vector [256] of length 1."""


class GE2E(nn.Module):
    """Three recurrent layers over mel frames; the last state is the voice."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(_BANDS, _HIDDEN, _LAYERS, batch_first=True)
        self.linear = nn.Linear(_HIDDEN, SIZE)

    def forward(self, frames: Tensor) -> Tensor:
        """Embed windows.

        Args:
            frames: Power in mel bands, float32 [B, F, 40], each frame 10 ms, speech at -30 dB.

        Returns:
            [B, 256], each of length 1.
        """
        _, (state, _) = self.lstm(frames)
        return self.voices(state[-1])

    def voices(self, state: Tensor) -> Tensor:
        """Return the voices [B, 256] of the last layer's states [B, 256]."""
        return nn.functional.normalize(torch.relu(self.linear(state)), dim=1)


def mel_frames(samples: Samples) -> NDArray[np.float32]:
    """Return the power in mel bands [1 + n // 160, 40] of samples [n], float32; frame k has its middle at 160 k."""
    padded = np.pad(samples, (_FRAME // 2, _FRAME // 2))
    return np.ascontiguousarray(mel_power(padded, _BANDS).T)


def gain(samples: Samples) -> np.float32:
    """Return the factor that brings the power of speech to -30 dB; 1 for silence."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return np.float32(_LEVEL / power if power > 0 else 1.0)


@cache
def load_ge2e() -> GE2E:
    """Load the encoder that comes with the program, once for a process.

    Raises:
        BundleError: It is missing or damaged.
    """
    content = read_shipped(f"{_FOLDER}/weights.safetensors", _SHA256)
    encoder = built(GE2E, lambda like: unpack([content], like))
    assert isinstance(encoder, GE2E)  # noqa: S101 - built above
    return encoder.eval().requires_grad_(requires_grad=False)

"""Voices as vectors: the speaker encoder GE2E (Wan et al., 2018), which needs 0.6 s of speech or more.

Vectors of one speaker lie close together in the angle between them, whatever is said.
"""

from functools import cache
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load
from torch import Tensor, nn

from streamer_models.bundle import read_shipped
from streamer_models.encoders.log_mel import HOP, mel_power
from streamer_models.encoders.log_mel import WINDOW as _FRAME
from streamer_models.shapes import built
from streamer_models.storage import unpack

SIZE = 256
"""Of a vector."""
SAMPLE_RATE = 16_000
WINDOW = 160
"""Frames (1.6 s) that the network was trained on."""

_FOLDER = "speaker-ge2e-1"
_SHA256 = "a5d4776b403b69593e4a10212aeacf7d35b56e9d0a2022058c6d4f888202e069"
_STRANGERS_SHA256 = "b9d43e344be41acf48e916ea2ab093a3f94cd6522eaba8c92fe5d2145f34a682"
_CLOSEST = 30
"""Strangers that count."""
_BANDS = 40
_HIDDEN = 256
_LAYERS = 3
_LEVEL = 10 ** (-30 / 10)
"""Mean power that speech is brought to: -30 dB."""
_STEP = 77
"""Frames from window to window of a whole utterance."""
_COVERED = 0.75
"""Share of the last window that must be speech, unless it is the only one."""

Samples = NDArray[np.float32]
Voice = NDArray[np.float32]
"""A vector [256] of length 1."""


class SpeakerEncoder(nn.Module):
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
        """The voices [B, 256] of the last layer's states [B, 256]."""
        return nn.functional.normalize(torch.relu(self.linear(state)), dim=1)

    @torch.inference_mode()
    def embed(self, samples: Samples) -> Voice:
        """Embed an utterance: the mean over windows of 1.6 s, which overlap by half.

        Args:
            samples: float32 [16000 t] of one speaker, silences left out.
        """
        starts = range(0, _windows(len(samples)) * _STEP, _STEP)
        missing = max(0, (starts[-1] + WINDOW) * HOP - len(samples))
        frames = mel_frames(np.pad(samples, (0, missing)))
        windows = np.stack([frames[start : start + WINDOW] for start in starts])
        return unit(self(torch.from_numpy(windows * gain(samples))).numpy().mean(0))


class VoiceStream:
    """The voice of somebody who speaks, as far as it is known: each frame goes through the network once.

    The first samples set the level that the network sees.
    """

    def __init__(self, encoder: SpeakerEncoder) -> None:
        self._encoder = encoder
        self._waiting = np.empty(0, np.float32)
        self._gain = np.float32(0.0)
        self._state: tuple[Tensor, Tensor] | None = None

    @torch.inference_mode()
    def push(self, samples: Samples) -> None:
        """Add the next samples of the same voice."""
        self._gain = self._gain or gain(samples)
        known = np.concatenate([self._waiting, samples])
        frames = (len(known) - _FRAME) // HOP + 1
        if frames <= 0:
            self._waiting = known
            return
        self._waiting = known[frames * HOP :]
        power = np.ascontiguousarray(mel_power(known, _BANDS).T) * self._gain
        _, self._state = self._encoder.lstm(torch.from_numpy(power)[None], self._state)

    @torch.inference_mode()
    def voice(self) -> Voice | None:
        """Return the vector of what was pushed; None if it was less than a frame."""
        if self._state is None:
            return None
        return self._encoder.voices(self._state[0][-1])[0].numpy()


def mel_frames(samples: Samples) -> NDArray[np.float32]:
    """The power in mel bands, float32 [1 + n // 160, 40], of samples float32 [n]; frame k has its middle at 160 k."""
    padded = np.pad(samples, (_FRAME // 2, _FRAME // 2))
    return np.ascontiguousarray(mel_power(padded, _BANDS).T)


def gain(samples: Samples) -> np.float32:
    """The factor that brings the power of speech to -30 dB; 1 for silence."""
    power = float(np.mean(np.square(samples, dtype=np.float64))) if len(samples) else 0.0
    return np.float32(_LEVEL / power if power > 0 else 1.0)


def unit(vector: NDArray[np.floating[Any]]) -> Voice:
    """The vector of length 1 in the same direction; zero stays zero."""
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length > 0 else vector, np.float32)


class Strangers:
    """How close strangers come to a voice: the mean cosine of those closest to it.

    Voices over one line, or in one room, are all alike to some degree; what counts is how much more alike two are.

    Args:
        voices: Of many people, in quiet, in rooms and over telephones, float32 [people, 256].
    """

    def __init__(self, voices: NDArray[np.float32]) -> None:
        self._voices = voices

    def __call__(self, voice: Voice) -> float:
        """Return the level, from 0 to 1."""
        return float(np.partition(self._voices @ voice, -_CLOSEST)[-_CLOSEST:].mean())


@cache
def load_strangers() -> Strangers:
    """Load the voices that come with the program, once for a process.

    Raises:
        BundleError: They are missing or damaged.
    """
    content = read_shipped(f"{_FOLDER}/strangers.safetensors", _STRANGERS_SHA256)
    return Strangers(load(content)["voices"].float().numpy())


@cache
def load_speaker_encoder() -> SpeakerEncoder:
    """Load the encoder that comes with the program, once for a process.

    Raises:
        BundleError: It is missing or damaged.
    """
    content = read_shipped(f"{_FOLDER}/weights.safetensors", _SHA256)
    encoder = built(SpeakerEncoder, lambda like: unpack([content], like))
    assert isinstance(encoder, SpeakerEncoder)  # noqa: S101 - built above
    return encoder.eval().requires_grad_(requires_grad=False)


def _windows(samples: int) -> int:
    """Windows of a whole utterance."""
    frames = 1 + samples // HOP
    windows = max(1, -(-(frames - WINDOW + 1) // _STEP) + 1)
    covered = samples / HOP - (windows - 1) * _STEP
    return windows if windows == 1 or covered >= _COVERED * WINDOW else windows - 1

"""Voices as vectors: the speaker encoder CAM++ (Wang et al., 2023), which needs half a second of speech or more.

Vectors of one speaker lie close together in the angle between them, whatever is said. They are counted from the middle
of the voices of many people, in quiet, in rooms and over telephones: people who have nothing in common are at 0.
"""

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import load

from streamer_models.bundle import read_shipped
from streamer_models.onnx_session import session_of

SIZE = 192
"""Of a vector."""
SAMPLE_RATE = 16_000
WINDOW = 2 * SAMPLE_RATE
"""Samples that the network takes at most."""

FOLDER = "speaker-campplus-1"
_SHA256 = "e0ff1e7d1df8b04ffe612335a4567ca19816efa43f3598a97716f28272fd7fc0"
_MIDDLE_SHA256 = "c8f653251ceda209e1e073486061195cac337a1bfe6d69a55379d55cd4d5429e"
_LEAST = SAMPLE_RATE // 5
_LEVEL = 10 ** (-26 / 20)
"""Root of the mean power that speech is brought to: -26 dB."""
_BANDS = 80
_FRAME, _HOP, _FFT = 400, 160, 512
_LOWEST_HZ = 20.0
_EMPHASIS = np.float32(0.97)
_FLOOR = np.float32(2.0**-23)

Samples = NDArray[np.float32]
Voice = NDArray[np.float32]
"""A vector [192] of length 1."""


class SpeakerEncoder:
    """Speech to voices.

    Args:
        session: The network in onnxruntime: `frames` float32 [1, F, 80] to `voice` [1, 192].
        middle: Of the voices of many people, float32 [192].
    """

    def __init__(self, session: Any, middle: NDArray[np.float32]) -> None:
        self._session = session
        self._middle = middle

    def voice(self, samples: Samples) -> Voice:
        """Embed one window: float32 [n] of one speaker, 0.2 to 2 s."""
        frames = mel_frames(samples * _gain(samples))
        frames -= frames.mean(axis=0)
        return unit(unit(self._session.run(None, {"frames": frames[None]})[0][0]) - self._middle)

    def embed(self, samples: Samples) -> Voice:
        """Embed an utterance: the mean over windows of 2 s or less, all of one length.

        Args:
            samples: float32 [16000 t] of one speaker, silences left out; what is under 0.2 s is filled up.
        """
        samples = np.pad(samples, (0, max(0, _LEAST - len(samples))))
        windows = np.array_split(samples, -(-len(samples) // WINDOW))
        return unit(np.mean([self.voice(window) for window in windows], axis=0))


class VoiceStream:
    """The voice of somebody who speaks, by the last 2 s of what is known."""

    def __init__(self, encoder: SpeakerEncoder) -> None:
        self._encoder = encoder
        self._known = np.empty(0, np.float32)
        self._voice: Voice | None = None

    def push(self, samples: Samples) -> None:
        """Add the next samples of the same voice."""
        if len(samples):
            self._known = np.concatenate([self._known, samples])[-WINDOW:]
            self._voice = None

    def voice(self) -> Voice | None:
        """Return the vector of what was pushed; None if it was less than 0.2 s."""
        if self._voice is None and len(self._known) >= _LEAST:
            self._voice = self._encoder.voice(self._known)
        return self._voice


def mel_frames(samples: Samples) -> NDArray[np.float32]:
    """Return log mel powers, float32 [F, 80], of each whole frame of 25 ms, every 10 ms, as Kaldi does."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, _FRAME)[::_HOP]
    frames = frames - frames.mean(axis=1, keepdims=True)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    spectrum = np.fft.rfft((frames - _EMPHASIS * before) * _window(), _FFT, axis=1)
    power = np.square(np.abs(spectrum[:, : _FFT // 2])).astype(np.float32)
    return np.asarray(np.log(np.maximum(power @ _mel_filters(), _FLOOR)), np.float32)


@cache
def _window() -> NDArray[np.float32]:
    return np.asarray(np.hanning(_FRAME) ** 0.85, np.float32)


@cache
def _mel_filters() -> NDArray[np.float32]:
    """Triangles [256, 80], evenly spaced on the mel scale from 20 Hz to half the sample rate."""
    bins = _mel(np.arange(_FFT // 2) * SAMPLE_RATE / _FFT)
    corners = np.linspace(_mel(_LOWEST_HZ), _mel(SAMPLE_RATE / 2), _BANDS + 2)
    step = corners[1] - corners[0]
    triangles = 1 - np.abs(bins[:, None] - corners[None, 1:-1]) / step
    return np.asarray(np.maximum(0, triangles), np.float32)


def _mel(hertz: Any) -> Any:
    return 1127.0 * np.log(1 + hertz / 700.0)


def _gain(samples: Samples) -> np.float32:
    """Return the factor that brings speech to -26 dB; 1 for silence."""
    power = float(np.mean(np.square(samples, dtype=np.float64)))
    return np.float32(_LEVEL / np.sqrt(power) if power > 0 else 1.0)


def unit(vector: NDArray[np.floating[Any]]) -> Voice:
    """Return the vector of length 1 in the same direction; zero stays zero."""
    length = float(np.linalg.norm(vector))
    return np.asarray(vector / length if length > 0 else vector, np.float32)


@cache
def load_speaker_encoder() -> SpeakerEncoder:
    """Load the encoder that comes with the program, once for a process.

    Raises:
        BundleError: It is missing or damaged.
    """
    network = read_shipped(f"{FOLDER}/network.onnx", _SHA256)
    middle = load(read_shipped(f"{FOLDER}/middle.safetensors", _MIDDLE_SHA256))["middle"]
    return SpeakerEncoder(session_of(network), middle)

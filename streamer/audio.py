"""Audio and time inside the program: units, pieces of audio, conversion from and to 16-bit PCM."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

SAMPLE_RATE = 16_000
"""Samples per second of every channel, once decoded."""

FRAME = 480
"""Samples of one frame (30 ms): one voice decision, one column of LEAF, one step of the segmenter."""

_FULL_SCALE = 32_768
"""The 16-bit value that stands for 1.0."""

Samples = NDArray[np.float32]
"""Audio of one channel: float32 [n] in [-1, 1] at 16 kHz."""


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Consecutive samples of one channel."""

    channel: int
    start: int
    """Index of the first sample since the conversation began."""
    samples: Samples
    """float32 [n] in [-1, 1] at 16 kHz."""
    captured: float | None = None
    """Seconds of the clock at which its end was spoken; None if it was recorded before."""

    @property
    def end(self) -> int:
        """Index after the last sample."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True)
class Gap:
    """Lost audio of one channel: time passes without samples."""

    channel: int
    start: int
    end: int
    reason: str


def to_samples(seconds: float) -> int:
    """Convert seconds to the nearest count of samples."""
    return round(seconds * SAMPLE_RATE)


def to_seconds(samples: int) -> float:
    """Convert a count of samples to seconds as events carry them: three decimals."""
    return round(samples / SAMPLE_RATE, 3)


def from_pcm16(pcm: "ArrayLike") -> Samples:
    """Convert 16-bit PCM of any shape to float32 in [-1, 1)."""
    return np.asarray(pcm).astype(np.float32) / np.float32(_FULL_SCALE)


def to_pcm16(samples: Samples) -> NDArray[np.int16]:
    """Convert float32 samples of any shape to 16-bit PCM: rounded, clipped to full scale.

    The inverse of `from_pcm16`: 16-bit audio survives the round trip unchanged.
    """
    scaled = np.rint(samples * np.float32(_FULL_SCALE))
    pcm: NDArray[np.int16] = scaled.clip(-_FULL_SCALE, _FULL_SCALE - 1).astype(np.int16)
    return pcm

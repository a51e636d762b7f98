"""Features of a recording's video, made beforehand: which of them belong to an utterance.

The file is an npz with `times` [N], in seconds of the recording and rising, `features` [N, size], and, where several
people are seen, `channels` [N], the number of the channel whose speaker each is of. How they are made is up to its
maker: expressions of the face, positions of its points, or the output of a network.
"""

import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from streamer.audio import SAMPLE_RATE
from streamer.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

MOST_VECTORS = 128
"""Of an utterance with more of them, the last so many count."""

_MAX_BYTES = 2_000_000_000


@dataclass(frozen=True, slots=True, eq=False)
class VideoFeatures:
    """Vectors of features by time."""

    times: NDArray[np.float64]
    """Seconds, rising, [N]."""
    features: NDArray[np.float32]
    """[N, size]."""
    channels: NDArray[np.int64] | None = None
    """[N]; None: of every channel."""

    def of_utterance(self, channel: int, start: int, end: int) -> "Tensor | None":
        """Return the vectors [n, size] of an utterance.

        Args:
            channel: Who speaks.
            start: First sample.
            end: The one after the last: no later vector is given.

        Returns:
            None if there are none.
        """
        import torch

        first, last = np.searchsorted(self.times, (start / SAMPLE_RATE, end / SAMPLE_RATE))
        found = self.features[first:last]
        if self.channels is not None:
            found = found[self.channels[first:last] == channel]
        return torch.from_numpy(found[-MOST_VECTORS:].copy()) if len(found) else None


def read_video(path: Path, size: int) -> VideoFeatures:
    """Return the features in a file.

    Args:
        path: The npz.
        size: Values of a vector that the model takes; 0: it takes none.

    Raises:
        UserError: The model takes no video, or the file is missing, damaged or of another form.
    """
    if not size:
        raise UserError(f"emotion.video: {path} is of no use to a model that takes no video")
    try:
        with zipfile.ZipFile(path) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MAX_BYTES:
                raise UserError(f"emotion.video: {path} unpacks to more than {_MAX_BYTES} bytes")
        with np.load(path, allow_pickle=False) as arrays:
            times, features = arrays["times"], arrays["features"]
            channels = arrays["channels"] if "channels" in arrays.files else None
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise UserError(f"emotion.video: {path} cannot be read: {error}") from error
    if complaint := _complaint(times, features, channels, size):
        raise UserError(f"emotion.video: {path}: {complaint}")
    numbers = None if channels is None else channels.astype(np.int64)
    return VideoFeatures(times.astype(np.float64), features.astype(np.float32), numbers)


def _complaint(
    times: NDArray[Any], features: NDArray[Any], channels: NDArray[Any] | None, size: int
) -> str:
    """Return what is wrong with the arrays; empty if nothing is."""
    if times.ndim != 1 or times.dtype.kind not in "fiu" or (np.diff(times) < 0).any():
        return "times must be rising numbers, [N]"
    if features.shape != (len(times), size) or features.dtype.kind != "f":
        return f"features must be floating-point numbers [{len(times)}, {size}]"
    if not np.isfinite(times).all() or not np.isfinite(features.astype(np.float32)).all():
        return "times and features must be finite"
    if channels is not None and (channels.shape != times.shape or channels.dtype.kind not in "iu"):
        return "channels must be whole numbers, one for each time"
    return ""

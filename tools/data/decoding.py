"""A file -> mono samples at the program's rate."""

from pathlib import Path

import av
import numpy as np
import soxr
from numpy.typing import NDArray

from streamer.audio import SAMPLE_RATE
from streamer.errors import UserError


def decode(path: Path) -> NDArray[np.float32]:
    """Return all of a recording, channels averaged, float32 [n] in [-1, 1] at 16 kHz.

    Raises:
        UserError: Not there, not audio, or damaged.
    """
    return np.asarray(decode_channels(path).mean(axis=0), np.float32)


def decode_channels(path: Path) -> NDArray[np.float32]:
    """Return all of a recording, float32 [channels, n] in [-1, 1] at 16 kHz.

    Raises:
        UserError: Not there, not audio, or damaged.
    """
    try:
        with av.open(str(path)) as container:
            stream = container.streams.audio[0]
            rate = int(stream.rate)
            converter = av.AudioResampler(format="fltp", layout=stream.layout, rate=rate)
            blocks = [
                converted.to_ndarray()
                for frame in container.decode(stream)
                for converted in converter.resample(frame)
            ]
    except (av.FFmpegError, OSError, IndexError) as error:
        raise UserError(f"{path}: cannot be decoded as audio ({error})") from error
    if not blocks:
        return np.zeros((1, 0), np.float32)
    samples = np.concatenate(blocks, axis=1)
    if rate != SAMPLE_RATE:
        samples = soxr.resample(samples.T, rate, SAMPLE_RATE).T
    return np.asarray(samples, np.float32)

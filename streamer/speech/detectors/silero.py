"""Silero's voice detector: a small recurrent network on the spectra of short windows."""

from functools import cache
from typing import Any

import numpy as np

from streamer.audio import FRAME, Samples
from streamer.errors import UserError

_FILE = "silero-6/silero-6.onnx"
_SHA256 = "c4458358ceedf677a6ab61a67ee76e61e06133c12ffe01362a688fabb5d949a4"
_INPUT = 576
"""Samples of the network's window: 512, and before them 64 for its filters."""
_MIRRORED = 64
"""Samples that continue a window."""
_SPECTRUM, _HOP = 256, 128
"""Samples of a spectrum, and from one to the next; a window has four."""
_HANN = np.hanning(_SPECTRUM + 1)[:-1].astype(np.float32)
_RUNS, _APART = 2, FRAME // 2
"""Runs of the network, and the samples between their windows."""
_ODDS = 3.0
"""How much likelier speech is than the network assumes: 3 to 6 score about the same on annotated calls."""
_STATE = 128
_SILENT = 0.1
"""Probability below which a frame counts as silence here."""
_STALE = 133
"""Frames (4 s) of silence after which the state is discarded.

In silence the cell state grows without bound (measured: to 25 times its size in speech within 20 minutes), and
speech that follows is then missed.
"""


class SileroDetector:
    """The network with the state of one channel; the weights are shared by all channels.

    It was trained on steps of 512 samples; here its window moves by a frame, 480 samples, so that each frame has a
    probability of its own. Measured, that costs no accuracy.

    Where its windows lie in the sound matters more than it should: moved by half a frame, one probability in ten
    changes by more than 0.1. So two runs of it, half a frame apart, are averaged.

    The network misses speech: at even odds one frame in seven, the weak ones between strong ones. So its odds are
    raised, always by the same factor, since a decision must not depend on earlier ones.
    """

    delay = 0

    def __init__(self) -> None:
        self._session = _session()
        self._before: Samples
        """The last samples: the beginning of the next windows."""
        self.reset()

    def __call__(self, frames: Samples) -> list[float]:
        """See `VoiceDetector.__call__`."""
        samples = np.concatenate([self._before, frames.ravel()])
        self._before = samples[len(samples) - len(self._before) :]
        shape, size = (len(frames), _RUNS, _INPUT), samples.itemsize
        windows = np.ndarray(shape, np.float32, samples, 0, (FRAME * size, _APART * size, size))
        magnitudes = _magnitudes(windows)
        probabilities: list[float] = []
        while len(magnitudes):
            # No more than can go by before a state is stale.
            most = _STALE - max(self._silences)
            probabilities += self._scores(magnitudes[:most])
            magnitudes = magnitudes[most:]
        return probabilities

    def reset(self) -> None:
        """See `VoiceDetector.reset`."""
        self._before = np.zeros(_INPUT - FRAME + _APART, dtype=np.float32)
        self._hidden, self._cell = np.zeros((2, 1, _RUNS, _STATE), dtype=np.float32)
        self._silences = [0] * _RUNS
        """Frames of silence up to now, by each run."""

    def _scores(self, magnitudes: Samples) -> list[float]:
        """Score consecutive frames.

        Args:
            magnitudes: float32 [n, runs, 4, 129].
        """
        inputs = {"magnitudes": magnitudes, "h": self._hidden, "c": self._cell}
        found, self._hidden, self._cell = self._session.run(None, inputs)
        scores: list[list[float]] = found[:, :, 0].tolist()
        for run in range(_RUNS):
            for frame in scores:
                self._silences[run] = self._silences[run] + 1 if frame[run] < _SILENT else 0
            if self._silences[run] >= _STALE:
                self._silences[run] = 0
                self._hidden[:, run] = self._cell[:, run] = 0.0
        return [_raised((early + late) / 2) for early, late in scores]


def _magnitudes(windows: Samples) -> Samples:
    """Return the magnitudes [n, runs, 4, 129] of the spectra of windows [n, runs, 576]."""
    continued = np.empty((*windows.shape[:2], _INPUT + _MIRRORED), np.float32)
    continued[:, :, :_INPUT] = windows
    continued[:, :, _INPUT:] = windows[:, :, -2 : -2 - _MIRRORED : -1]
    columns = (continued.shape[2] - _SPECTRUM) // _HOP + 1
    shape = (*windows.shape[:2], columns, _SPECTRUM)
    *outer, step = continued.strides
    parts = np.ndarray(shape, np.float32, continued, 0, (*outer, _HOP * step, step))
    spectra = np.fft.rfft(parts * _HANN)
    powers = np.square(spectra.real)
    powers += np.square(spectra.imag)
    magnitudes: Samples = np.sqrt(powers, out=powers)
    return magnitudes


def _raised(probability: float) -> float:
    return _ODDS * probability / (1.0 + (_ODDS - 1.0) * probability)


@cache
def _session() -> Any:
    """Load the network, once for all channels; running it is thread-safe, and takes one thread."""
    from streamer_models.bundle import BundleError, read_shipped
    from streamer_models.onnx_session import session_of

    try:
        content = read_shipped(_FILE, _SHA256)
    except BundleError as error:
        raise UserError(f"{error}; set segmentation.detector to webrtcvad") from error
    return session_of(content)

"""Silero's voice detector: a small recurrent network, read from the ONNX that faster-whisper carries."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from streamer.audio import FRAME, Samples
from streamer.errors import UserError

_INPUT = 576
"""Samples of the network's window: 512, and before them 64 for its filters."""
_APART = FRAME // 2
"""Samples between the windows of its two runs."""
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
        self._runs = _Run(), _Run()
        self._before: Samples
        """The last samples: the beginning of the next windows."""
        self.reset()

    def __call__(self, frames: Samples) -> list[float]:
        """See `VoiceDetector.__call__`."""
        samples = np.concatenate([self._before, frames.ravel()])
        self._before = samples[len(samples) - len(self._before) :]
        windows = np.lib.stride_tricks.sliding_window_view(samples, _INPUT)
        early, late = (
            run(np.ascontiguousarray(windows[first::FRAME]))
            for run, first in zip(self._runs, (0, _APART), strict=True)
        )
        return [_raised((one + other) / 2) for one, other in zip(early, late, strict=True)]

    def reset(self) -> None:
        """See `VoiceDetector.reset`."""
        self._before = np.zeros(_INPUT - FRAME + _APART, dtype=np.float32)
        for run in self._runs:
            run.reset()


class _Run:
    """One run of the network over the audio, with its state."""

    def __init__(self) -> None:
        self._session = _session()
        self.reset()

    def reset(self) -> None:
        self._state: list[Samples] = [np.zeros((1, 1, _STATE), dtype=np.float32)] * 2
        self._silence = 0

    def __call__(self, windows: Samples) -> list[float]:
        """Score consecutive windows, float32 [n, 576].

        One call for all costs a third less than one call each.
        """
        probabilities: list[float] = []
        while len(windows):
            # No more than can go by before the state is stale.
            some, windows = np.split(windows, [_STALE - self._silence])
            scores = self._scores(some)
            for probability in scores:
                self._silence = self._silence + 1 if probability < _SILENT else 0
            if self._silence >= _STALE:
                self.reset()
            probabilities += scores
        return probabilities

    def _scores(self, windows: Samples) -> list[float]:
        inputs = {"input": windows, "h": self._state[0], "c": self._state[1]}
        probabilities, *self._state = self._session.run(None, inputs)
        scores: list[float] = probabilities.ravel().tolist()
        return scores


def _raised(probability: float) -> float:
    return _ODDS * probability / (1.0 + (_ODDS - 1.0) * probability)


@cache
def _session() -> Any:
    """Return the network, loaded once; running it is thread-safe, and takes one thread."""
    from streamer_models.onnx_session import session_of

    return session_of(_asset().read_bytes())


def _asset() -> Path:
    """Return the network's file, found without importing faster-whisper, which takes a second."""
    package = find_spec("faster_whisper")
    if package and package.origin:
        file = Path(package.origin).parent / "assets" / "silero_vad_v6.onnx"
        if file.is_file():
            return file
    raise UserError(
        "Silero's voice detector (silero_vad_v6.onnx) is not in the installed faster-whisper: "
        "install faster-whisper 1.2.1, or set segmentation.detector to webrtcvad"
    )

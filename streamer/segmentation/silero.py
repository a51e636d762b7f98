"""Silero's voice detector: a small recurrent network, read from the ONNX that faster-whisper carries."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from streamer.config import Segmentation
from streamer.errors import UserError
from streamer.sources import Samples

WINDOW = 512
"""Samples that the network judges at a time."""
CONTEXT = 64
"""Samples before the window that it hears again."""
_STATE = 128


class Silero:
    """The network with the state of one channel; the weights are shared by all channels."""

    def __init__(self) -> None:
        self._session = _session()
        self._h: Samples = np.zeros((1, 1, _STATE), dtype=np.float32)
        self._c: Samples = np.zeros((1, 1, _STATE), dtype=np.float32)

    def __call__(self, window: Samples) -> float:
        """The probability of speech in a window.

        Args:
            window: float32 [576], 64 samples already heard and 512 new ones.
        """
        inputs = {"input": window[None], "h": self._h, "c": self._c}
        probability, self._h, self._c = self._session.run(None, inputs)
        return float(probability.item())

    def reset(self) -> None:
        """Forget everything heard so far."""
        self._h = np.zeros_like(self._h)
        self._c = np.zeros_like(self._c)


class SileroDetector:
    """Silero on frames: the probability is that of the latest window that is complete."""

    def __init__(self, settings: Segmentation) -> None:
        del settings  # the thresholds are the segmenter's
        self._network = Silero()
        self._heard: Samples = np.zeros(CONTEXT, dtype=np.float32)
        self._probability = 0.0

    def __call__(self, frame: Samples) -> float:
        """See `VoiceDetector.__call__`."""
        self._heard = np.concatenate((self._heard, frame))
        while len(self._heard) >= CONTEXT + WINDOW:
            self._probability = self._network(self._heard[: CONTEXT + WINDOW])
            self._heard = self._heard[WINDOW:]
        return self._probability

    def reset(self) -> None:
        """See `VoiceDetector.reset`."""
        self._network.reset()
        self._heard = np.zeros(CONTEXT, dtype=np.float32)
        self._probability = 0.0


@cache
def _session() -> Any:
    """The network, loaded once; running it is thread-safe, and takes one thread."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.inter_op_num_threads = 1
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(
        str(_asset()), sess_options=options, providers=["CPUExecutionProvider"]
    )


def _asset() -> Path:
    """The network's file, found without importing faster-whisper, which takes a second."""
    package = find_spec("faster_whisper")
    if package and package.origin:
        file = Path(package.origin).parent / "assets" / "silero_vad_v6.onnx"
        if file.is_file():
            return file
    raise UserError(
        "Silero's voice detector (silero_vad_v6.onnx) is not in the installed faster-whisper: "
        "install faster-whisper 1.2.1, or set segmentation.detector to webrtcvad"
    )

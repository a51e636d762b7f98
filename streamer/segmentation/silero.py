"""Silero's voice detector: a small recurrent network, read from the ONNX that faster-whisper carries."""

from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from streamer.errors import UserError
from streamer.sources import Samples
from streamer.units import FRAME

_INPUT = 576
"""Samples that the network judges at a time: 512, and before them 64 for its filters' sake."""
_STATE = 128
_SILENT = 0.1
"""Probability under which the network itself is sure enough of silence."""
_STALE = 133
"""Frames (4 s) of silence after which the state is thrown away.

In silence the cell state grows without bound (measured: to 25 times its size in speech within 20 minutes), and
speech that follows is then missed.
"""


class SileroDetector:
    """The network with the state of one channel; the weights are shared by all channels.

    It was trained on steps of 512 samples; here its window moves by a frame, 480 samples, so that each
    frame has a judgement of its own that ends where the frame ends. Measured, that costs no accuracy.
    """

    def __init__(self) -> None:
        self._session = _session()
        self._heard: Samples = np.zeros((1, _INPUT), dtype=np.float32)
        self._probability: Samples = np.zeros(1, dtype=np.float32)
        # The state (h and c), twice: each step reads one and writes the other.
        self._states: Samples = np.zeros((2, 2, 1, 1, _STATE), dtype=np.float32)
        self._steps = [self._step(*self._states), self._step(*self._states[::-1])]
        self._silence = 0

    def __call__(self, frame: Samples) -> float:
        """See `VoiceDetector.__call__`."""
        self._heard[0, :-FRAME] = self._heard[0, FRAME:]
        self._heard[0, -FRAME:] = frame
        self._session.run_with_iobinding(self._steps[0])
        self._steps.reverse()
        probability = float(self._probability[0])
        self._silence = self._silence + 1 if probability < _SILENT else 0
        if self._silence >= _STALE:
            self._forget_state()
        return probability

    def reset(self) -> None:
        """See `VoiceDetector.reset`."""
        self._heard[:] = 0.0
        self._forget_state()

    def _forget_state(self) -> None:
        self._states[:] = 0.0
        self._silence = 0

    def _step(self, before: Samples, after: Samples) -> Any:
        """The network between our own arrays, which costs an eighth less than passing new ones."""
        binding = self._session.io_binding()
        for name, array in (("input", self._heard), ("h", before[0]), ("c", before[1])):
            binding.bind_input(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        for name, array in (
            ("speech_probs", self._probability),
            ("hn", after[0]),
            ("cn", after[1]),
        ):
            binding.bind_output(name, "cpu", 0, np.float32, array.shape, array.ctypes.data)
        return binding


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

"""End-of-turn detection by sound: Smart Turn v3.2 (Daily, 2025), a small network on the last seconds of a turn."""

from functools import cache
from typing import Any

import numpy as np

from streamer.audio import SAMPLE_RATE, Samples
from streamer.errors import UserError

_FILE = "smart-turn-3.2/smart-turn-v3.2.onnx"
_SHA256 = "aad9f82d1cebe3f2e6f620b300ceb04030713a7f9de46aa0e129c4418d7475a0"
_BANDS = 80
_SHORT = SAMPLE_RATE
"""Samples that are scored first: a quarter of the work, and enough for most turns."""
_OPEN, _DONE = 0.03, 0.7
"""Probabilities below and from which that is enough."""
_ALONE = 0.5
"""What a probability by the last second counts where that is all: 0.3 says as much as 0.15 by the whole turn."""
_STEP = SAMPLE_RATE // 50
"""Samples that a position of the network stands for."""
_MIRRORED = 200
"""Samples that continue the last window."""
_LEAST_VARIANCE = 1e-7


class SmartTurn:
    """Scores whether a turn is complete; keeps no state (see `TurnEnd`)."""

    window = 4 * SAMPLE_RATE
    """Samples that are scored, the pause included."""

    def __init__(self) -> None:
        self._session = _session()

    def __call__(self, turn: Samples, *, brief: bool = False) -> float:
        """See `TurnEnd.__call__`: by the last second, and by all of it where that leaves a doubt."""
        probability = self._probability(turn[-_SHORT:])
        if not _OPEN <= probability < _DONE or len(turn) <= _SHORT:
            return probability
        return _ALONE * probability if brief else self._probability(turn)

    def _probability(self, turn: Samples) -> float:
        """Score all samples given, silence before a turn that is shorter than a second."""
        from streamer_models.encoders.log_mel import HOP, log_mel

        length = max(_SHORT, -(-len(turn) // _STEP) * _STEP)
        padded = np.pad(turn, (length - len(turn), 0))
        padded = (padded - padded.mean()) / np.sqrt(padded.var() + np.float32(_LEAST_VARIANCE))
        mirrored = np.pad(padded, (0, _MIRRORED), mode="reflect")  # as in its training
        features = log_mel(mirrored, _BANDS)[None, :, : length // HOP]
        return float(self._session.run(None, {"input_features": features})[0][0, 0])


@cache
def _session() -> Any:
    """Load the network, once for all channels; one thread keeps its sums the same."""
    from streamer_models.bundle import BundleError, read_shipped
    from streamer_models.onnx_session import session_of

    try:
        content = read_shipped(_FILE, _SHA256)
    except BundleError as error:
        raise UserError(f"segmentation.endpoint adaptive: {error}; set it to fixed") from error
    return session_of(content)

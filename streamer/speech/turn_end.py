"""End-of-turn detection by sound: Smart Turn v3.2 (Daily, 2025), a small network on the last 4 seconds of it."""

from functools import cache
from typing import Any

import numpy as np

from streamer.audio import SAMPLE_RATE, Samples
from streamer.errors import UserError

_FILE = "smart-turn-3.2/smart-turn-v3.2-4s.onnx"
_SHA256 = "06e1cba6d8ff1acc57a1faad4fe32d503efb46479c7f1556263860674b624fd9"
_BANDS = 80
_MIRRORED = 200
"""Samples that continue the last window."""
_LEAST_VARIANCE = 1e-7


class SmartTurn:
    """Scores whether a turn is complete; keeps no state (see `TurnEnd`)."""

    window = 4 * SAMPLE_RATE
    """Samples that are scored, the pause included."""

    def __init__(self) -> None:
        self._session = _session()

    def __call__(self, turn: Samples) -> float:
        """See `TurnEnd.__call__`."""
        from streamer_models.encoders.log_mel import HOP, log_mel

        padded = np.pad(turn, (self.window - len(turn), 0))
        padded = (padded - padded.mean()) / np.sqrt(padded.var() + np.float32(_LEAST_VARIANCE))
        mirrored = np.pad(padded, (0, _MIRRORED), mode="reflect")  # as in its training
        features = log_mel(mirrored, _BANDS)[None, :, : self.window // HOP]
        return float(self._session.run(None, {"input_features": features})[0][0, 0])


@cache
def _session() -> Any:
    """Load the network, once for all channels.

    One thread keeps its sums the same. Unsigned weights do, too: on processors without VNNI the products of signed ones
    are cut off at 16 bits.
    """
    from streamer_models.bundle import BundleError, read_shipped
    from streamer_models.onnx_session import session_of

    try:
        content = read_shipped(_FILE, _SHA256)
    except BundleError as error:
        raise UserError(f"segmentation.endpoint adaptive: {error}; set it to fixed") from error
    return session_of(content, x64quantprecision="1")

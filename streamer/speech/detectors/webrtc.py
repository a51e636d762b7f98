"""The voice detector of WebRTC: two Gaussians in each of six bands; fast, and misled by most noise."""

import numpy as np
import webrtcvad

from streamer.audio import FRAME, SAMPLE_RATE, Samples

AGGRESSIVENESS = 2
"""WebRTC's filter of non-speech: 0 passes most, 3 least."""

_BYTES = 2 * FRAME
"""Of a frame as 16-bit PCM."""


class WebrtcGate:
    """WebRTC's decision on each frame: speech or not."""

    def __init__(self, aggressiveness: int) -> None:
        if aggressiveness not in range(4):
            raise ValueError(f"aggressiveness {aggressiveness!r}: expected 0 to 3")
        self._aggressiveness = aggressiveness
        self.reset()

    def __call__(self, frames: Samples) -> list[bool]:
        """Decide for each of the frames (float32 [n, 480]) whether it may hold speech."""
        # Truncated, not rounded as `to_pcm16` does: half a step decides frames at the threshold, and the gate
        # was evaluated with this.
        pcm = (np.minimum(np.maximum(frames, -1.0), 1.0) * 32767.0).astype(np.int16).tobytes()
        decide = self._vad.is_speech
        return [decide(pcm[at : at + _BYTES], SAMPLE_RATE) for at in range(0, len(pcm), _BYTES)]

    def reset(self) -> None:
        """Forget the levels of noise and speech learnt so far."""
        self._vad = webrtcvad.Vad(self._aggressiveness)


class WebrtcDetector:
    """WebRTC's decisions as probabilities: 0 or 1."""

    delay = 0

    def __init__(self, aggressiveness: int = AGGRESSIVENESS) -> None:
        self._gate = WebrtcGate(aggressiveness)

    def __call__(self, frames: Samples) -> list[float]:
        """See `VoiceDetector.__call__`."""
        return [float(voiced) for voiced in self._gate(frames)]

    def reset(self) -> None:
        """See `VoiceDetector.reset`."""
        self._gate.reset()

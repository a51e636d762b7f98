"""Load shedding of a live conversation: the only place that decides it.

The lag is the audio that was captured but not yet analysed, in seconds. While it grows, work is shed in
this order: estimates while people speak together with the long look at turns that may be complete, asking turns at all,
transcriptions, and, at the bound, audio. The first two go earlier, and of all conversations, while the workers are busy
nearly all the time.
"""

import math

from streamer.audio import SAMPLE_RATE
from streamer.control import LiveStatus
from streamer.runtime.pressure import BUSY, FULL, ROOM
from streamer.speech import Effort

_LESS, _LEAST, _NO_TRANSCRIPTS = 0.06, 0.12, 0.25
"""Shares of the bound from which less is done, the least, and nothing transcribed; by default .3, .6 and 1.25 s."""

_SHED = {
    1: "no estimates while people speak, and silence alone ends turns,",
    2: "no transcription, no estimates while people speak, and silence alone ends turns,",
}
"""What is said at each level. That there are no estimates for a moment, and shorter looks, is not worth a word."""


class LoadPolicy:
    """Decides from the lag what a conversation still does; a recording, which can wait, sheds nothing.

    Args:
        max_lag: seconds that analysis may be behind; infinite for a recording.
        status: holds the lag, and shows whether work is shed.
    """

    def __init__(self, max_lag: float = math.inf, status: LiveStatus | None = None) -> None:
        self._max_lag = max_lag
        self._status = status or LiveStatus()
        self._level = 0
        self._pressure = ROOM
        self._catching_up = False
        """Whether turns are not asked until the lag is small again."""
        self._overdue = False

    @property
    def live(self) -> bool:
        """Whether audio cannot wait."""
        return math.isfinite(self._max_lag)

    @property
    def transcribes(self) -> bool:
        """Whether utterances are transcribed."""
        return self._status.lag < self._max_lag * _NO_TRANSCRIPTS

    @property
    def effort(self) -> Effort:
        """What is done beside finding utterances and embedding them."""
        if self._catching_up or self._pressure == FULL:
            return Effort.LEAST
        if self._status.lag >= self._max_lag * _LESS or self._pressure == BUSY:
            return Effort.LESS
        return Effort.ALL

    @property
    def max_waiting(self) -> float:
        """Samples of one channel that may wait; beyond, the oldest are dropped down to half of it."""
        return self._max_lag * SAMPLE_RATE

    def measure(self, lag: float) -> None:
        """Take the present lag in seconds."""
        self._status.lag = lag
        self._status.behind = not self.transcribes
        bound = _LESS if self._catching_up else _LEAST
        self._catching_up = lag >= self._max_lag * bound

    def take_pressure(self, pressure: int) -> None:
        """Take how busy the workers are, if the audio cannot wait."""
        self._pressure = pressure if self.live else ROOM

    def escalation(self) -> str:
        """Return a message for the user when the shedding level has risen since the last call, else ""."""
        level = (self.effort == Effort.LEAST) + (not self.transcribes)
        before, self._level = self._level, level
        if level <= before:
            return ""
        late = self._catching_up or not self.transcribes
        cause = f"{self._status.lag:.1f} s of audio behind" if late else "too many conversations"
        return f"{cause}: {_SHED[level]} until it has caught up"

    def transcript_deadlines(self, spoken: float | None) -> tuple[float, float]:
        """Return when the transcript of an utterance must have been begun, and when it must be there.

        One that has not begun halfway to the bound would hardly be in time.

        Args:
            spoken: seconds of the clock at which the speech ended; None if the audio was recorded before.
        """
        if spoken is None:
            return math.inf, math.inf
        return spoken + self._max_lag / 2, spoken + self._max_lag

    def transcript_overdue(self, *, overdue: bool) -> str:
        """Take whether a transcript missed its deadline; return a message for the user at the first in a row."""
        first = overdue and not self._overdue
        self._overdue = overdue
        return (
            "transcription is behind: the oldest waiting utterances go without text"
            if first
            else ""
        )

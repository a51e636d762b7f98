"""Segmentation: from a channel's samples to its utterances.

A voice detector gives each 30 ms frame a probability of speech; the segmenter (`segmenter.py`) turns
those into the moments that later stages act on. All of it is synchronous and deterministic: no clock,
no threads, no I/O.
"""

from dataclasses import dataclass
from typing import Protocol

from streamer.audio import Samples


class VoiceDetector(Protocol):
    """One channel's judge of frames; it may keep a state from frame to frame."""

    @property
    def delay(self) -> int:
        """Frames that it hears beyond the one that it judges."""
        ...

    def __call__(self, frames: Samples) -> list[float]:
        """The probabilities of as many frames as these (float32 [n, 480]) that they hold speech.

        They are those of the frames `delay` before; of what lies before the first frame, it is 0.
        How many are judged in one call makes no difference but in speed.
        """
        ...

    def reset(self) -> None:
        """Forget everything heard so far."""
        ...


class TurnEnd(Protocol):
    """Judges by the sound of a turn whether it is over; shared by all channels, without a state."""

    @property
    def window(self) -> int:
        """Samples that it judges at most."""
        ...

    def __call__(self, turn: Samples) -> float:
        """The probability that a turn (float32 [n], n <= window, its pause included) is complete."""
        ...


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech is confirmed: an utterance has begun."""

    start: int
    """First sample of the utterance, pre-roll included."""
    at: int
    """The sample at which this became known: `start + len(samples)`."""
    samples: Samples
    """The utterance so far. What follows arrives by the frames pushed afterwards."""


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """The speaker fell silent; the utterance may end here or go on."""

    start: int
    end: int
    """Where the utterance would end."""
    at: int
    samples: Samples
    """The utterance from `start` to `end`: work ahead on it."""


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The speaker went on within the hangover: work done ahead is void."""

    start: int
    at: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The endpoint: the utterance is whole."""

    start: int
    end: int
    """Where the utterance ends: a little after the last voiced frame, or the place of a split."""
    voice_end: int
    """The end of the last voiced frame: latency counts from here."""
    at: int
    """The sample at which this became known; `at - voice_end` is the endpoint's delay."""
    samples: Samples
    """The utterance from `start` to `end`."""


SpeechEvent = SpeechStarted | SpeechPaused | SpeechResumed | SpeechEnded

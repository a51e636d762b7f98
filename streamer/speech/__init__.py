"""Speech: from the audio of a channel to its utterances and their audio embeddings.

A voice detector gives each 30 ms frame a probability of speech; the `segmenter` turns those into the start, pauses
and end of utterances; the `processor` adds the embeddings, computed while the person speaks. All of it is synchronous
and deterministic: no clock, no threads, no I/O.
"""

from dataclasses import dataclass
from enum import IntEnum
from typing import TYPE_CHECKING, Protocol

from streamer.audio import Gap, Samples
from streamer.events import Acoustics

if TYPE_CHECKING:
    from torch import Tensor


class VoiceDetector(Protocol):
    """Scores the frames of one channel; it may keep a state from frame to frame."""

    @property
    def delay(self) -> int:
        """Frames of look-ahead: how many frames later than it arrives a frame is scored."""
        ...

    def __call__(self, frames: Samples) -> list[float]:
        """Score frames.

        Args:
            frames: float32 [n, 480], consecutive; how many per call makes no difference but in speed.

        Returns:
            The probabilities of speech of the n frames that lie `delay` frames earlier; 0 for frames before the first.
        """
        ...

    def reset(self) -> None:
        """Forget all audio so far."""
        ...


class Effort(IntEnum):
    """What is done beside finding utterances and embedding them; less while a live conversation is behind."""

    LEAST = 0
    """Nothing: silence alone ends turns."""
    LESS = 1
    """Whether a turn sounds complete is decided by little of it, and no updates are made while somebody speaks."""
    ALL = 2


class TurnEnd(Protocol):
    """Scores by its sound whether a turn is complete; stateless, shared by all channels."""

    @property
    def window(self) -> int:
        """Samples of the longest turn; of a longer one the last so many are given."""
        ...

    def __call__(self, turn: Samples, *, brief: bool = False) -> float:
        """Return the probability that a turn is complete.

        Args:
            turn: float32 [n], n <= window, its pause included.
            brief: Whether less of it is to be looked at, for a fraction of the work.
        """
        ...


@dataclass(frozen=True, slots=True)
class VoiceChange:
    """Somebody else speaks within an utterance."""

    end: int
    """End of the last voiced frame of who spoke before."""
    onset: int
    """Begin of the first voiced frame of who speaks now; the same as `end` if there is no pause."""
    speaker: str
    """Who spoke before."""


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech is confirmed: an utterance has begun."""

    channel: int
    start: int
    """First sample of the utterance, pre-roll included."""
    at: int
    """The sample at which this became known."""


@dataclass(frozen=True, slots=True)
class SpeechUpdate:
    """The audio embedding of an utterance that goes on."""

    channel: int
    start: int
    at: int
    embedding: "Tensor"
    """float32 [embedding]."""
    samples: Samples | None = None
    """The utterance from `start` to `at`, where it is to be transcribed; None in a pause, which adds no word."""
    speaker: str | None = None
    """Who it is likeliest to be; None: the channel stands for its speaker."""


@dataclass(frozen=True, slots=True)
class SpeechPaused:
    """The speaker fell silent; the utterance may end here or go on."""

    channel: int
    start: int
    end: int
    """Where the utterance would end."""
    at: int
    samples: Samples
    """The utterance from `start` to `end`, for work ahead of the endpoint."""


@dataclass(frozen=True, slots=True)
class SpeechResumed:
    """The speaker went on before the endpoint: work ahead is void."""

    channel: int
    start: int
    at: int


@dataclass(frozen=True, slots=True)
class SpeechEnded:
    """The endpoint: the utterance is complete."""

    channel: int
    start: int
    end: int
    """Where the utterance ends: a little after the last voiced frame, or the place of a split."""
    voice_end: int
    """The end of the last voiced frame: latency counts from here."""
    at: int
    """The sample at which this became known; `at - voice_end` is the delay of the endpoint."""
    samples: Samples
    """The utterance from `start` to `end`."""
    embedding: "Tensor | None" = None
    """Audio embedding, float32 [embedding]; added by the `processor`."""
    acoustics: Acoustics | None = None
    """Loudness, pitch and pauses; added by the `processor`."""
    speaker: str | None = None
    """Who spoke; None: the channel stands for its speaker."""


@dataclass(frozen=True, slots=True)
class SpeakersMerged:
    """Two speakers of a channel turned out to be one."""

    channel: int
    speaker: str
    """The label that is not used any more."""
    into: str
    at: int


@dataclass(frozen=True, slots=True)
class SoundHeard:
    """A sound that is no speech: a laugh, music."""

    channel: int
    start: int
    end: int
    at: int
    """The sample at which this became known."""
    sound: str
    """One of `streamer_models.sound_network.CLASSES`, or of the kinds of a bundle's model."""
    confidence: float


SpeechEvent = (
    SpeechStarted
    | SpeechUpdate
    | SpeechPaused
    | SpeechResumed
    | SpeechEnded
    | SpeakersMerged
    | SoundHeard
    | Gap
)
"""What a channel's audio leads to, in the order of its time; a gap is passed on behind what it ends."""

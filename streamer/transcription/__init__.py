"""Transcription: from an utterance's samples to its words, or to the reason why there are none."""

from dataclasses import dataclass
from typing import Literal, Protocol

from streamer.audio import Samples

NO_TRANSCRIBER = "none"
"""Name of the transcriber that leaves all utterances without text."""

TranscriptStatus = Literal["ok", "rejected", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Word:
    """One word and where it stands, in seconds from the utterance's start."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """What the recogniser made of one utterance."""

    text: str
    """The words; empty unless `status` is "ok"."""
    status: TranscriptStatus
    """ok; rejected: the text looks invented; failed: the recogniser did; skipped: it was not asked."""
    language: str | None = None
    """ISO 639-1 code, given or recognised."""
    confidence: float | None = None
    """Geometric mean of the words' probabilities, 0..1, where the recogniser tells."""
    words: tuple[Word, ...] = ()
    reason: str = ""
    """Why it was rejected or failed, for logs; never holds the text itself."""


class Transcriber(Protocol):
    """A recogniser. Blocking and not reentrant: the engine calls it in a thread of its own."""

    @property
    def name(self) -> str:
        """Backend and model, as the `asr` field of `session_started` gives it."""
        ...

    def transcribe(self, samples: Samples, *, language: str | None) -> Transcript:
        """Recognise one utterance (float32 [n], 16 kHz). Never raises for bad audio: see `status`."""
        ...

    def close(self) -> None:
        """Give up what is going on, where that is possible: its transcript fails. Nothing is asked afterwards."""
        ...

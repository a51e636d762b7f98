"""Transcription: from an utterance's samples to its words, or to the reason why there are none."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol, runtime_checkable

from streamer.audio import Samples

NO_TRANSCRIBER = "none"
"""Name of the transcriber that leaves all utterances without text."""

TranscriptStatus = Literal["ok", "rejected", "failed", "skipped"]


@dataclass(frozen=True, slots=True)
class Word:
    """One word and its times, in seconds from the start of the utterance."""

    text: str
    start: float
    end: float
    probability: float


@dataclass(frozen=True, slots=True)
class Transcript:
    """The transcript of one utterance, or why there is none."""

    text: str
    """The words; empty unless `status` is "ok"."""
    status: TranscriptStatus
    """ok; rejected: no speech, or a text that looks invented; failed: an error; skipped: not transcribed."""
    language: str | None = None
    """ISO 639-1 code, given or recognised."""
    confidence: float | None = None
    """Geometric mean of the words' probabilities, 0..1; None if the transcriber gives none."""
    words: tuple[Word, ...] = ()
    reason: str = ""
    """Why it was rejected or failed, for logs; never holds the text itself."""


class Transcriber(Protocol):
    """A speech recogniser. Blocking and not reentrant: each is called by one worker thread at a time."""

    @property
    def name(self) -> str:
        """Backend and model, as the `asr` field of `session_started` gives it."""
        ...

    def transcribe(self, samples: Samples, *, language: str | None) -> Transcript:
        """Transcribe one utterance (float32 [n], 16 kHz). Never raises for bad audio: see `Transcript.status`."""
        ...

    def close(self) -> None:
        """Release everything; a transcription under way fails, where it can be interrupted."""
        ...


@runtime_checkable
class Steerable(Protocol):
    """What a transcriber may do besides: as much as an utterance is worth. Else `transcribe` does it."""

    def transcribe_steered(
        self,
        samples: Samples,
        *,
        language: str | None,
        thorough: bool,
        unwanted: Callable[[], bool],
    ) -> Transcript:
        """Transcribe one utterance (float32 [n], 16 kHz): see `Transcriber.transcribe`.

        Args:
            samples: the utterance.
            language: spoken; None: recognised.
            thorough: whether to take more trouble than usual.
            unwanted: tells whether the text is not wanted any more, and the rest of the work may be saved.
        """
        ...


@runtime_checkable
class Drafting(Protocol):
    """What a transcriber may do besides: transcribe speech that goes on, with less work. Else `transcribe` does it."""

    def draft(self, samples: Samples, *, language: str | None) -> Transcript:
        """Transcribe the utterance so far (float32 [n], 16 kHz): see `Transcriber.transcribe`; no times of words."""
        ...

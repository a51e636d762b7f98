"""Jobs of a conversation's analysis."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from streamer.clock import Stopwatch
from streamer.speech import SpeechEnded, SpeechEvent
from streamer.transcription.ahead import PendingTranscript


@dataclass(frozen=True, slots=True)
class Job:
    """A speech event to be analysed."""

    event: SpeechEvent
    watch: Stopwatch
    """Started when the event became known."""
    transcript: PendingTranscript | None = None
    """Of an utterance that ended, or of what there is of it; None if it is not transcribed."""
    spoken: float | None = None
    """Seconds of the clock at which the speech of a live utterance ended."""


def split_at_texts(jobs: Sequence[Job]) -> Iterator[Sequence[Job]]:
    """Split jobs behind each utterance with text: it is in the context of what follows."""
    begin = 0
    for place, job in enumerate(jobs, 1):
        text = job.transcript and isinstance(job.event, SpeechEnded)
        if text or place == len(jobs):
            yield jobs[begin:place]
            begin = place

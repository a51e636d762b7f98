"""Rows of exports: the utterances of a conversation in the order of their starts."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from streamer import events
from streamer.talk import speaker_of, valence
from streamer.views import View

_NO_TEXT = {
    "rejected": "no clear words",
    "failed": "transcription failed",
    "skipped": "not transcribed",
    "withheld": "text withheld",
}
_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Segment:
    """An utterance; times in seconds, rounded to milliseconds."""

    speaker: str
    start: float
    end: float
    event: events.Utterance

    @property
    def name(self) -> str:
        """The speaker's name on one line."""
        return one_line(self.speaker) or "speaker"

    @property
    def text(self) -> str:
        """Transcript on one line, without control characters; empty if there is no text."""
        return one_line(self.event.text or "")

    @property
    def shown(self) -> str:
        """The text, or in brackets why there is none."""
        reason = _NO_TEXT.get(self.event.text_status, "no text")
        return self.text or f"[{reason}]"

    @property
    def emotion(self) -> str:
        """The label; empty if the model abstained or could not judge."""
        return "" if self.event.abstained else one_line(self.event.emotion or "")

    @property
    def valence(self) -> float | None:
        """-1 to 1; None if not judged."""
        return valence(self.event)


@dataclass(frozen=True, slots=True)
class Conversation:
    """A conversation to be exported."""

    name: str
    """Of the recording."""
    view: View
    segments: Sequence[Segment]
    alerts: Sequence[events.Alert] = ()

    @property
    def session(self) -> str:
        """The session's id."""
        return self.view.session

    @property
    def source(self) -> str:
        """The recording; empty if unknown."""
        return self.view.began.source if self.view.began else ""

    @property
    def labels(self) -> list[str]:
        """The labels of the model."""
        if self.view.began:
            return self.view.began.labels
        return sorted({label for each in self.segments for label in each.event.probabilities})

    def by_speaker(self) -> dict[str, list[Segment]]:
        """Return each speaker's segments, cut where one would begin before the last has ended."""
        tiers: dict[str, list[Segment]] = {name: [] for name in sorted(self.view.speakers)}
        for each in self.segments:
            own = tiers[each.speaker]
            start = max(each.start, own[-1].end if own else 0.0)
            if each.end > start:
                own.append(Segment(each.speaker, start, each.end, each.event))
        return tiers


def conversation(name: str, stream: Iterable[events.Event]) -> Conversation:
    """Collect a conversation's utterances."""
    view = View()
    segments: list[Segment] = []
    alerts: list[events.Alert] = []
    for event in stream:
        view.take(event)
        if isinstance(event, events.Utterance):
            start, end = round(event.start, 3), round(max(event.start, event.end), 3)
            segments.append(Segment(speaker_of(event), start, end, event))
        elif isinstance(event, events.Alert) and event.active:
            alerts.append(event)
    segments.sort(key=lambda each: (each.start, each.end, each.speaker))
    return Conversation(name, view, segments, alerts)


def one_line(text: str) -> str:
    """Return a text without line breaks and characters that XML 1.0 forbids."""
    return " ".join(_ILLEGAL.sub("", text).split())

"""The report of one conversation: a self-contained HTML page."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

from pydantic import BaseModel

from streamer import __version__, events
from streamer.sinks.report import charts
from streamer.talk import speaker_of, valence
from streamer.views import View

if TYPE_CHECKING:
    from jinja2 import Environment

NO_TEXT = {
    "rejected": "no clear words",
    "failed": "transcription failed",
    "skipped": "not transcribed",
    "withheld": "text withheld by privacy",
}
_MOMENTS = 5
_UNPLEASANT = -0.3
"""Valence below which an utterance is worth a look."""


@dataclass(frozen=True, slots=True)
class Row:
    """A row of the transcript: an utterance, or something that happened between two."""

    at: float
    kind: str
    """utterance, gap, alert, mark, sound or error"""
    text: str
    event: events.Event
    number: int = -1
    """Of the utterance in the timeline."""


class Card(BaseModel):
    """A conversation's row of an index; every page carries its own."""

    title: str
    session: str
    began: datetime | None
    complete: bool
    utterances: int
    figures: events.Figures

    @property
    def worst(self) -> float | None:
        """The lowest score of any speaker's quarter."""
        talk = self.figures.talk.values()
        scores = [q.score for each in talk for q in each.quarters if q.score is not None]
        return min(scores, default=None)


class Report:
    """Collects a conversation's events and renders its page."""

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.view = View()
        self.utterances: list[events.Utterance] = []
        self.moods: dict[str, list[events.Mood]] = {}
        self.others: list[events.Event] = []
        self.errors: list[events.Error] = []

    def take(self, event: events.Event) -> None:
        """Take the next event; a session that starts begins another report."""
        if isinstance(event, events.SessionStarted):
            self._begin()
        self.view.take(event)
        match event:
            case events.Utterance():
                self.utterances.append(event)
            case events.Mood():
                self.moods.setdefault(speaker_of(event), []).append(event)
            case (
                events.Gap()
                | events.Alert()
                | events.Mark()
                | events.Sound()
                | events.SpeakerMerged()
            ):
                self.others.append(event)
            case events.Error():
                self.errors.append(event)
            case _:
                pass

    def card(self) -> "Card":
        """Return the conversation's row of an index."""
        started = self.view.began
        return Card(
            title=started.source if started else self.view.session,
            session=self.view.session,
            began=_milliseconds(started.time) if started else None,
            complete=self.view.ended is not None,
            utterances=self.view.utterances,
            figures=self.view.figures(),
        )

    def render(self, *, audio: str | None = None, notes: Sequence[str] = ()) -> str:
        """Render the page.

        Args:
            audio: the call as a data URI that turns play from; None for none.
            notes: what a reader must know about the events, one sentence each.
        """
        view = self.view
        started = view.began
        figures = view.figures()
        utterances = sorted(self.utterances, key=lambda each: (each.start, each.end))
        speakers = sorted(view.speakers)
        labels = started.labels if started else sorted({u.emotion for u in utterances if u.emotion})
        places = charts.lanes(speakers, labels)
        gaps = [each for each in self.others if isinstance(each, events.Gap)]
        alerts = [each for each in self.others if isinstance(each, events.Alert)]
        curves = [
            (name, sorted(self.moods.get(name, ()), key=lambda m: m.end)) for name in speakers
        ]
        return (
            environment()
            .get_template("report.html.j2")
            .render(
                view=view,
                started=started,
                ended=view.ended,
                figures=figures,
                speakers=speakers,
                labels=labels,
                lanes=places,
                timeline=charts.timeline(utterances, gaps, alerts, places, figures.duration),
                moods=charts.moods(curves, figures.duration),
                rows=_rows(utterances, self.others),
                alerts=[each for each in alerts if each.active],
                moments=_moments(utterances),
                errors=Counter(f"{each.part}: {each.message}" for each in self.errors),
                silent=[name for name in view.channels if not _heard(name, utterances)],
                withheld=sum(each.text_status == "withheld" for each in utterances),
                audio=audio,
                notes=[*(started.notes if started else ()), *notes],
                card=self.card().model_dump_json().replace("<", "\\u003c"),
                version=__version__,
            )
        )


def report(stream: Iterable[events.Event], **options: object) -> str:
    """Render the page of stored events; see `Report.render` for the options."""
    collected = Report()
    for event in stream:
        collected.take(event)
    return collected.render(**options)  # type: ignore[arg-type]  # the same options


@cache
def environment() -> "Environment":
    """Return the templates; every value is escaped."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    templates = Environment(
        loader=PackageLoader("streamer.sinks.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {"clock": clock, "percent": percent, "score": score, "day": day}
    templates.globals |= {
        "css_class": charts.css_class,
        "dashes": charts.dashes,
        "no_text": NO_TEXT,
        "speaker_of": speaker_of,
    }
    return templates


def clock(seconds: float) -> str:
    """Return a time of the audio as [h:]mm:ss."""
    minutes, rest = divmod(int(seconds + 0.5), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def percent(share: float | None) -> str:
    """Return a share in percent."""
    return "-" if share is None else f"{share:.0%}"


def score(value: float | None) -> str:
    """Return a score with its sign."""
    return "-" if value is None else f"{round(value, 1) + 0.0:+.1f}"


def day(time: datetime) -> str:
    """Return a date and time."""
    return f"{time:%Y-%m-%d %H:%M} UTC"


def _milliseconds(time: datetime) -> datetime:
    """Return a time as the wire carries it, so that stored events give the same page."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)


def _rows(utterances: Sequence[events.Utterance], others: Sequence[events.Event]) -> list[Row]:
    rows = [
        Row(each.start, "utterance", each.text or "", each, number)
        for number, each in enumerate(utterances)
    ]
    for each in others:
        match each:
            case events.Gap():
                lost = f"{each.end - each.start:.2f} s of {each.channel} lost ({each.reason})"
                rows.append(Row(each.start, "gap", lost, each))
            case events.Alert(active=True):
                about = f" ({each.speaker})" if each.speaker else ""
                rows.append(Row(each.at, "alert", f"{each.rule}{about}", each))
            case events.Mark():
                rows.append(Row(each.at, "mark", each.label or "", each))
            case events.Sound():
                rows.append(Row(each.start, "sound", f"{each.channel}: {each.sound}", each))
            case events.SpeakerMerged():
                merged = f"{each.speaker} turned out to be {each.into}"
                rows.append(Row(each.at, "speakers", merged, each))
            case _:
                pass
    return sorted(rows, key=lambda row: (row.at, row.number))


def _moments(utterances: Sequence[events.Utterance]) -> list[events.Utterance]:
    """Return where to look: the least pleasant utterances that the model is sure of."""
    judged = [(valence(each), each) for each in utterances if not each.abstained]
    worst = sorted(
        (pair for pair in judged if pair[0] is not None and pair[0] < _UNPLEASANT),
        key=lambda pair: (pair[0] or 0.0, pair[1].start),
    )
    return sorted((each for _, each in worst[:_MOMENTS]), key=lambda each: each.start)


def _heard(channel: str, utterances: Sequence[events.Utterance]) -> bool:
    return any(each.channel == channel for each in utterances)

"""Text for people: a line for each event, the present, the figures at the end."""

from typing import TYPE_CHECKING

from streamer import events
from streamer.talk import speaker_of
from streamer.text import printable
from streamer.views import Channel, View

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from rich.text import Text

COLOURS = {"angry": "red", "happy": "green", "sad": "blue", "neutral": "white"}
_OTHER = "magenta"
_BAR = 8
_PARTIAL = 40
"""Characters of the words of an utterance that goes on."""
_SPARKS = "▁▂▃▄▅▆▇█"
_NO_TEXT = {
    "rejected": "(no clear words)",
    "failed": "(transcription failed)",
    "skipped": "",
    "withheld": "(withheld)",
}


def event_lines(event: events.Event, view: View) -> "Iterator[Text]":
    """Yield the lines that an event is worth; the view has already taken it.

    Names, labels and messages come from strangers: what steers a terminal is removed.
    """
    for line in _lines(event, view):
        line.plain = printable(line.plain)
        yield line


def _lines(event: events.Event, view: View) -> "Iterator[Text]":
    from rich.text import Text

    match event:
        case events.SessionStarted():
            model = f"{event.model.name} {event.model.version}"
            yield Text(f"{event.source}  ·  {model}  ·  asr: {event.asr}", style="bold")
        case events.Utterance():
            yield _utterance(event, view)
        case events.Gap():
            lost = event.end - event.start
            text = f"{clock(event.start)}  {event.channel}: {lost:.2f} s lost ({event.reason})"
            yield Text(text, style="yellow")
        case events.SpeakerMerged() | events.Sound() | events.Mark():
            yield _remark(event)
        case events.Alert(active=True):
            about = f" ({event.speaker})" if event.speaker else ""
            yield Text(f"{clock(event.at)}  alert: {event.rule}{about}", style="bold yellow")
        case events.Error():
            yield Text(f"{event.part}: {event.message}", style="red")
        case events.Summary():
            yield from summary_lines(event)
        case events.SessionEnded():
            yield Text(_end(event, view), style="bold")
        case _:
            pass


def _remark(event: events.SpeakerMerged | events.Sound | events.Mark) -> "Text":
    from rich.text import Text

    match event:
        case events.SpeakerMerged():
            merged = f"{event.speaker} turned out to be {event.into}"
            return Text(f"{clock(event.at)}  {merged}", style="dim")
        case events.Sound():
            return Text(f"{clock(event.start)}  {event.channel}: ({event.sound})", style="dim")
        case events.Mark():
            return Text(f"{clock(event.at)}  ─── {event.label or 'mark'} ───", style="cyan")


def present_line(channel: Channel, view: View, width: int, meter: "Text | None") -> "Text":
    """Return what stands below the lines for a channel: speech, mood, share of the talk."""
    from rich.text import Text

    line = Text(no_wrap=True, overflow="ellipsis")
    line.append("● " if channel.speaking is not None else "  ", "green")
    line.append(f"{printable(channel.name):<{width}}  ")
    if meter is not None:
        line.append_text(meter)
    own = [each.name for each in view.speakers.values() if each.channel == channel.name]
    if own:
        line.append(f"{sum(map(view.talk_share, own)):4.0%}  ", "dim")
    line.append_text(sparkline(channel.moods))
    if channel.mood:
        line.append(f"  {channel.mood.trend}", "dim")
    if present := channel.estimate:
        best = max(present, key=lambda label: present[label])
        line.append(f"  speaking: {best} {present[best]:.0%}", COLOURS.get(best, _OTHER))
    if channel.text:
        line.append(f"  {_latest(printable(channel.text))}")
    return line


def _latest(text: str) -> str:
    """Return the last words of a text, as many as fit beside the rest of a line."""
    return text if len(text) <= _PARTIAL else f"…{text[1 - _PARTIAL :]}"


def sparkline(moods: "Sequence[dict[str, float]]") -> "Text":
    """Return the last moods: the height is their strength, the colour their emotion."""
    from rich.text import Text

    line = Text()
    for mood in moods:
        best = max(mood, key=lambda label: mood[label])
        height = min(int(mood[best] * len(_SPARKS)), len(_SPARKS) - 1)
        line.append(_SPARKS[height], COLOURS.get(best, _OTHER))
    return line


def percentiles(view: View) -> str:
    """Return the median and the 95th percentile of the latest latencies, in words."""
    ordered = sorted(view.latencies)
    if not ordered:
        return ""
    p50, p95 = (ordered[int(q * len(ordered))] for q in (0.5, 0.95))
    return f"latency p50 {p50:.0f} ms, p95 {p95:.0f} ms"


def summary_lines(figures: events.Figures) -> "Iterator[Text]":
    """Yield the figures as a small table, a line for each speaker."""
    from rich.text import Text

    if not figures.talk:
        return
    head = ["", "talk", "share", "turns", "longest", "words/min", "response", "interrupts", "score"]
    rows = [head, *(_figures_row(name, figures) for name in figures.talk)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for index, row in enumerate(rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        quarters = [] if not index else figures.talk[row[0]].quarters
        trend = "  by quarter" if not index else "  " + " ".join(_score(q.score) for q in quarters)
        yield Text("  ".join(cells) + trend, style="" if index else "dim")
    overlap, silence = figures.overlap, figures.non_talk
    yield Text(
        f"nobody speaks {clock(silence.seconds)} (longest {clock(silence.longest)})  ·  "
        f"{overlap.count} overlaps, {overlap.seconds:.1f} s  ·  {figures.abstained:.0%} uncertain"
        + "".join(f"  ·  alert {rule}: {count}" for rule, count in figures.alerts.items()),
        style="dim",
    )


def clock(seconds: float) -> str:
    """Return a time of the audio as mm:ss.s."""
    minutes, rest = divmod(round(seconds, 1), 60)
    return f"{int(minutes):02d}:{rest:04.1f}"


def _figures_row(name: str, figures: events.Figures) -> list[str]:
    talk = figures.talk[name]
    rate, response = talk.words_per_minute, figures.response_time.get(name)
    return [
        name,
        clock(talk.seconds),
        f"{talk.share:.0%}",
        str(talk.turns),
        clock(talk.longest_turn),
        "-" if rate is None else f"{rate:.0f}",
        "-" if response is None else f"{response:.1f} s",
        str(talk.interruptions.count),
        _score(talk.overall),
    ]


def _score(score: float | None) -> str:
    return "   -" if score is None else f"{round(score, 1) + 0.0:+.1f}"


def _utterance(event: events.Utterance, view: View) -> "Text":
    from rich.text import Text

    speaker = speaker_of(event)
    width = max((len(name) for name in (*view.channels, *view.speakers)), default=0)
    emotion = event.emotion or "?"
    style = COLOURS.get(emotion, _OTHER) if not event.abstained else "dim"
    filled = round(event.confidence * _BAR)
    words = event.text if event.text is not None else _NO_TEXT.get(event.text_status, "")
    return Text.assemble(
        (clock(event.start), "dim"),
        f"  {speaker:<{width}}  ",
        (f"{emotion + ('?' if event.abstained else ''):<8}", style),
        ("━" * filled, style),
        ("━" * (_BAR - filled), "dim"),
        f" {event.confidence:4.0%} ",
        (f"{event.latency_ms.total:5.0f} ms  ", "dim"),
        (words, "" if event.text is not None else "dim"),
    )


def _end(event: events.SessionEnded, view: View) -> str:
    parts = [f"{event.reason}: {event.utterances} utterances in {clock(event.duration)}"]
    if latency := percentiles(view):
        parts.append(latency)
    if event.gaps:
        parts.append(f"{event.gaps} gaps")
    if event.errors:
        parts.append(f"{event.errors} errors")
    return "  ·  ".join(parts)

"""The charts of a report, as inline SVG: who expresses what when, and how moods move.

They hold numbers and class names only, no text of a conversation: nothing needs escaping.
Emotions are distinguished by their row and their name, moods by their dashes; colour only helps.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from streamer import events
from streamer.talk import speaker_of
from streamer.valence import VALENCE, expected_valence

WIDTH = 1000.0
"""Units of a chart's width; its height is in pixels."""
_ROW = 14
_GAP = 12
_MOOD_HEIGHT = 120
_MOST_POINTS = 600
_DASHES = ("none", "8 4", "2 3", "12 3 2 3")
UNKNOWN = "uncertain"


@dataclass(frozen=True, slots=True)
class Lane:
    """A speaker's rows in the timeline."""

    speaker: str
    labels: list[str]
    top: float
    """Pixels from the chart's top."""
    height: float


def css_class(label: str | None) -> str:
    """Return the class that colours a label."""
    known = "".join(each for each in (label or "") if each.isalnum()).lower()
    return f"e-{known}" if label in VALENCE else "e-other" if label else "e-none"


def lanes(speakers: Sequence[str], labels: Sequence[str]) -> list[Lane]:
    """Return a lane for each speaker with a row for each label, the most pleasant one on top."""
    rows = [*sorted(labels, key=lambda label: -VALENCE.get(label, 0.0)), UNKNOWN]
    height = _ROW * len(rows)
    return [
        Lane(speaker, rows, index * (height + _GAP), height)
        for index, speaker in enumerate(speakers)
    ]


def timeline(
    utterances: Sequence[events.Utterance],
    gaps: Sequence[events.Gap],
    alerts: Sequence[events.Alert],
    places: Sequence[Lane],
    duration: float,
) -> str:
    """Draw one bar for each utterance, in the row of its label; gaps and alerts behind and across."""
    by_speaker = {lane.speaker: lane for lane in places}
    total = max((lane.top + lane.height for lane in places), default=0.0)
    parts = [_background(lane) for lane in places]
    parts += [
        f'<rect class="gap" x="{_x(gap.start, duration)}" width="{_span(gap.start, gap.end, duration)}"'
        f' y="0" height="{total:g}"/>'
        for gap in gaps
    ]
    for number, each in enumerate(utterances):
        lane = by_speaker[speaker_of(each)]
        label = each.emotion if each.emotion in lane.labels and not each.abstained else UNKNOWN
        top = lane.top + _ROW * lane.labels.index(label) + 1
        kind = css_class(None if label == UNKNOWN else label)
        parts.append(
            f'<rect class="u {kind}" data-u="{number}" x="{_x(each.start, duration)}" y="{top:g}"'
            f' width="{_span(each.start, each.end, duration)}" height="{_ROW - 2}"/>'
        )
    parts += [
        f'<path class="alert" d="M{_x(alert.at, duration)} 0V{total:g}"/>'
        for alert in alerts
        if alert.active
    ]
    return _svg(parts, total, "timeline")


def moods(curves: Sequence[tuple[str, Sequence[events.Mood]]], duration: float) -> str:
    """Draw each speaker's mood: the valence of the smoothed probabilities, -1 to 1."""
    middle = _MOOD_HEIGHT / 2
    parts = [f'<path class="axis" d="M0 {middle:g}H{WIDTH:g}"/>']
    for index, (_, curve) in enumerate(curves):
        points = " ".join(
            f"{_x(mood.end, duration)},{middle - expected_valence(mood.probabilities) * (middle - 4):.1f}"
            for mood in thinned(curve)
        )
        parts.append(
            f'<polyline class="mood m{index % 4}" stroke-dasharray="{dashes(index)}" points="{points}"/>'
        )
    return _svg(parts, _MOOD_HEIGHT, "moods")


def dashes(index: int) -> str:
    """Return the dash pattern of a speaker's curve."""
    return _DASHES[index % len(_DASHES)]


def thinned(curve: Sequence[events.Mood]) -> Sequence[events.Mood]:
    """Return at most as many points as a chart can show, the last among them."""
    step = -(-len(curve) // _MOST_POINTS)
    return curve[::-1][::step][::-1] if step > 1 else curve


def _background(lane: Lane) -> str:
    rows = "".join(
        f'<rect class="row r{index % 2}" x="0" width="{WIDTH:g}" y="{lane.top + _ROW * index:g}" height="{_ROW}"/>'
        for index in range(len(lane.labels))
    )
    return f"<g>{rows}</g>"


def _svg(parts: Sequence[str], height: float, name: str) -> str:
    return (
        f'<svg class="chart {name}" viewBox="0 0 {WIDTH:g} {height:g}" height="{height:g}"'
        f' preserveAspectRatio="none" aria-hidden="true">{"".join(parts)}</svg>'
    )


def _x(at: float, duration: float) -> str:
    return f"{WIDTH * min(at, duration) / duration if duration else 0:.2f}"


def _span(start: float, end: float, duration: float) -> str:
    return f"{max(1.0, WIDTH * (min(end, duration) - start) / duration) if duration else 1:.2f}"

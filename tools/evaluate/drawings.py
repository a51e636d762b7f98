"""Judgements as pictures: SVG, to be put into a page."""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np

from tools.evaluate.metrics import BINS, Judgements, Sums

_SIZE, _LEFT, _TOP, _BOTTOM = 240, 60, 20, 45


def confusion(judgements: Judgements) -> str:
    """Return truth by prediction: counts, shaded by their share of the truth."""
    labels = judgements.labels
    counts = Sums.by_cluster(judgements).confusion.sum(0)
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    cell = _SIZE / len(labels)
    marks = []
    for i, truth in enumerate(labels):
        y = _TOP + i * cell
        marks.append(_text(_LEFT - 6, y + cell / 2 + 4, truth, "end"))
        marks.append(_text(_LEFT + (i + 0.5) * cell, _TOP + _SIZE + 16, truth))
        for j in range(len(labels)):
            x = _LEFT + j * cell
            marks.append(
                f'<rect x="{x:.1f}" y="{y:.1f}" width="{cell:.1f}" height="{cell:.1f}" fill="#2866a8" '
                f'fill-opacity="{0.75 * shares[i, j]:.3f}" stroke="#cdd3dc"/>'
            )
            marks.append(_text(x + cell / 2, y + cell / 2 + 4, f"{counts[i, j]:.0f}"))
    return _svg(marks, "confusion matrix")


def reliability(judgements: Judgements) -> str:
    """Return accuracy by confidence, in equal bins."""
    bins = Sums.by_cluster(judgements).bins.sum(0)
    marks = [*_axes("confidence", "accuracy"), _line([(0.0, 0.0), (1.0, 1.0)], "#9aa4b2")]
    for count, correct, confidence in bins:
        if count:
            x, y = _place(confidence / count, correct / count)
            radius = 2 + 10 * np.sqrt(count / bins[:, 0].sum())
            marks.append(
                f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius:.1f}" fill="#2866a8" fill-opacity="0.7"/>'
            )
    return _svg(marks, f"reliability diagram of {BINS} bins")


def risk_coverage(judgements: Judgements) -> str:
    """Return the share of errors among the most confident utterances, by how many of them are judged."""
    order = np.argsort(-judgements.probabilities.max(axis=1), kind="stable")
    wrong = (judgements.predicted != judgements.truth)[order]
    number = np.arange(1, len(order) + 1)
    step = max(1, len(order) // 200)
    kept = np.unique(np.append(np.arange(step - 1, len(order), step), len(order) - 1))
    points = [
        (float(number[i] / len(order)), float(risk))
        for i, risk in zip(kept, (np.cumsum(wrong) / number)[kept], strict=True)
    ]
    return _svg(
        [*_axes("coverage", "share of errors"), _line(points, "#b3402e")], "risk by coverage"
    )


def spread(values: Mapping[str, float | None]) -> str:
    """Return a value of each group, sorted, with its name where the pointer rests."""
    known = sorted((value, name) for name, value in values.items() if value is not None)
    marks = _axes("groups, sorted", "UA")
    for place, (value, name) in enumerate(known):
        x, y = _place((place + 0.5) / len(known), value)
        marks.append(
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3.5" fill="#2866a8">'
            f"<title>{escape(name)}: {value:.3f}</title></circle>"
        )
    return _svg(marks, "spread over groups")


def _axes(x_title: str, y_title: str) -> list[str]:
    marks = []
    for tick in (0.0, 0.25, 0.5, 0.75, 1.0):
        x, y = _place(tick, tick)
        marks.append(_line([(0.0, tick), (1.0, tick)], "#e3e7ec"))
        marks.append(_text(_LEFT - 6, y + 4, f"{tick:g}", "end"))
        marks.append(_text(x, _TOP + _SIZE + 16, f"{tick:g}"))
    marks.append(_text(_LEFT + _SIZE / 2, _TOP + _SIZE + 34, x_title))
    marks.append(_text(_LEFT, _TOP - 6, y_title, "start"))
    return marks


def _place(x: float, y: float) -> tuple[float, float]:
    return _LEFT + x * _SIZE, _TOP + (1 - y) * _SIZE


def _line(points: Sequence[tuple[float, float]], colour: str) -> str:
    placed = [_place(*point) for point in points]
    path = " ".join(f"{x:.1f},{y:.1f}" for x, y in placed)
    return f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>'


def _text(x: float, y: float, text: str, anchor: str = "middle") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(marks: Sequence[str], title: str) -> str:
    width, height = _LEFT + _SIZE + 20, _TOP + _SIZE + _BOTTOM
    return (
        f'<svg width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img" '
        f'aria-label="{escape(title)}">{"".join(marks)}</svg>'
    )

"""The card of the shipped bundle: what it learnt from, how good it is, what it is not for."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeAlias

from streamer_models.bundle import Bundle
from tools.evaluate.metrics import Judgements, ece_by_chance, grouped_report
from tools.evaluate.output import abstention

Modalities: TypeAlias = Literal["audio", "text", "both"]

_TEMPLATE = Path(__file__).with_suffix(".md")

_HOLDOUT = """
**The figures are those of a holdout bundle**, trained by the same command without these parts; the temperatures and the
threshold are its, too. When the settings stood, this bundle was trained on the training and the development parts
together: a third more voices in some corpora. So no part is left here on which it could be judged itself.
"""

_COMMAND = "`python -m tools.train bundle --data DATA --out DIR --seed {seed}`"
_COMMAND_AFTER_HOLDOUT = (
    f"{_COMMAND} makes the holdout bundle; the same with another folder and `--holdout DIR`"
)


@dataclass(frozen=True)
class Part:
    """Judgements of one development part.

    Attributes:
        title: What was judged, and how.
        modality: What its utterances have.
        judgements: What was said of it.
        groups: As for `grouped_report`.
    """

    title: str
    modality: Modalities
    judgements: Judgements
    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)


def model_card(bundle: Bundle, parts: Mapping[str, Part], seed: int, *, holdout: bool) -> str:
    """Return the card, as Markdown.

    Args:
        bundle: The finished bundle.
        parts: The development parts, by name; `speech` is the one with groups.
        seed: Of the training.
        holdout: Whether the parts were judged by a holdout bundle, as the bundle has learnt from them.
    """
    reports = {name: grouped_report(part.judgements, part.groups) for name, part in parts.items()}
    rows = [
        f"{_row(part.title, reports[name])} {ece_by_chance(part.judgements):.3f} |"
        for name, part in parts.items()
    ]
    recalls = [
        _recall(part.title, reports[name], bundle.model.labels) for name, part in parts.items()
    ]
    rejected = [_rejection(part, bundle.threshold) for part in parts.values()]
    groups = reports["speech"]["groups"]
    return _TEMPLATE.read_text(encoding="utf-8").format(
        name=bundle.name,
        version=bundle.version,
        labels=", ".join(bundle.model.labels),
        window=bundle.model.config.window,
        figures="\n".join(rows),
        recall_head=" | ".join(bundle.model.labels),
        recall_rule="---|" * len(bundle.model.labels),
        recalls="\n".join(recalls),
        rejected="\n".join(rejected),
        corpora="\n".join(_row(name, part) for name, part in groups["corpus"].items()),
        sexes="\n".join(_row(name, part) for name, part in groups["sex"].items()),
        speakers="\n".join(_speaker(name, part) for name, part in groups["speaker"].items()),
        spread=_spread([part["ua"]["value"] for part in groups["speaker"].values()]),
        threshold=bundle.threshold,
        audio=bundle.calibration["audio"].temperature,
        text=bundle.calibration["text"].temperature,
        both=bundle.calibration["audio+text"].temperature,
        holdout=_HOLDOUT if holdout else "",
        command=(_COMMAND_AFTER_HOLDOUT if holdout else _COMMAND).format(seed=seed),
    )


def _row(title: str, part: Mapping[str, Any]) -> str:
    names = ("ua", "accuracy", "weighted_f1", "ece")
    return f"| {title} | {part['n']} | {' | '.join(interval(part[name]) for name in names)} |"


def _recall(title: str, part: Mapping[str, Any], labels: Sequence[str]) -> str:
    return f"| {title} | {' | '.join(_plain(part['recall'][label]) for label in labels)} |"


def _rejection(part: Part, threshold: float) -> str:
    found = abstention(part.judgements, threshold)
    whole = float((part.judgements.predicted == part.judgements.truth).mean())
    return (
        f"| {part.title} | {whole:.3f} | {found['accuracy_without_least_confident']:.3f} | "
        f"{found['rejected']:.3f} | {found['accuracy']:.3f} |"
    )


def _speaker(name: str, part: Mapping[str, Any]) -> str:
    return f"| {name} | {part['n']} | {_plain(part['ua']['value'])} |"


def _spread(values: Sequence[float]) -> str:
    ordered = sorted(values)
    return f"{ordered[0]:.2f} (worst), {ordered[len(ordered) // 2]:.2f} (median), {ordered[-1]:.2f} (best)"


def interval(measure: Mapping[str, float | None]) -> str:
    """Return a figure and its interval as they stand in a card."""
    if measure["low"] is None:
        return _plain(measure["value"])
    return f"{_plain(measure['value'])} ({_plain(measure['low'])}-{_plain(measure['high'])})"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"

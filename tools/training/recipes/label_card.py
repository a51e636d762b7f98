"""The card of a late-fusion bundle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.training.recipes.label_data import Terms
from tools.training.recipes.label_figures import Figures

_TEMPLATES = {
    True: Path(__file__).with_name("label_card_open.md"),
    False: Path(__file__).with_name("label_card_research.md"),
}
_BODY = Path(__file__).with_name("label_card.md")


def card(terms: Terms, figures: Figures, settings: Mapping[str, Any]) -> str:
    """Markdown: the terms, how good it is, where it fails, how to make it again."""
    groups = figures.parts["speech, whole"]["groups"]
    return _BODY.read_text(encoding="utf-8").format(
        name=terms.name,
        version=terms.version,
        terms=_TEMPLATES[terms.open].read_text(encoding="utf-8").rstrip(),
        figures="\n".join(_row(name, part) for name, part in figures.parts.items()),
        recalls="\n".join(_recalls(name, part) for name, part in figures.parts.items()),
        corpora="\n".join(_row(name, part) for name, part in groups["corpus"].items()),
        sexes="\n".join(_row(name, part) for name, part in groups["sex"].items()),
        calm="\n".join(_calm(name, part) for name, part in figures.calm.items()),
        ages="\n".join(_row(name, part) for name, part in groups["age"].items()),
        ethnicities="\n".join(_row(name, part) for name, part in groups["ethnicity"].items()),
        doubt="\n".join(_doubt(name, part) for name, part in figures.doubt.items()),
        thresholds=", ".join(f"{label} {t:.2f}" for label, t in figures.thresholds.items()),
        learnt="; the bundle itself has learnt from all of them" if terms.calm else "",
        right=figures.confident_and_right,
        seed=settings.get("seed", 0),
    )


def _row(name: str, part: Mapping[str, Any]) -> str:
    measures = " | ".join(_interval(part[measure]) for measure in ("ua", "accuracy", "ece"))
    return f"| {name} | {part['n']} | {measures} | {part.get('risk_coverage', '')} |"


def _recalls(name: str, part: Mapping[str, Any]) -> str:
    values = " | ".join(
        "-" if value is None else f"{value:.2f}" for value in part["recall"].values()
    )
    return f"| {name} | {values} |"


def _calm(name: str, rates: Mapping[str, float]) -> str:
    return (
        f"| {name} | {rates['n']} | {rates['hours'] * 60:.0f} | "
        f"{rates['confident_per_hour']:.0f} | {rates['angry_or_sad_per_hour']:.0f} |"
    )


def _doubt(name: str, part: Mapping[str, float]) -> str:
    return f"| {name} | {part['n']} | {part['confident']:.2f} | {part['auroc']:.2f} |"


def _interval(measure: Mapping[str, float | None]) -> str:
    if measure["value"] is None:
        return "-"
    if measure["low"] is None:
        return f"{measure['value']:.3f}"
    return f"{measure['value']:.3f} ({measure['low']:.3f}-{measure['high']:.3f})"

"""The card of a late-fusion bundle."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tools.training.recipes.label_data import Terms
from tools.training.recipes.label_figures import FOLDS, Figures
from tools.training.recipes.model_card import interval

_TEMPLATES = {
    True: Path(__file__).with_name("label_card_open.md"),
    False: Path(__file__).with_name("label_card_research.md"),
}
_BODY = Path(__file__).with_name("label_card.md")


def card(terms: Terms, figures: Figures, settings: Mapping[str, Any]) -> str:
    """Markdown: the terms, how good it is, where it fails, how to make it again."""
    groups = figures.parts["speech, whole"]["groups"]
    unknown = figures.parts[FOLDS]["groups"]["corpus"]
    return _BODY.read_text(encoding="utf-8").format(
        name=terms.name,
        version=terms.version,
        terms=_TEMPLATES[terms.open].read_text(encoding="utf-8").rstrip(),
        figures="\n".join(_row(name, part) for name, part in figures.parts.items()),
        recalls="\n".join(_recalls(name, part) for name, part in figures.parts.items()),
        corpora="\n".join(_row(name, part) for name, part in groups["corpus"].items()),
        unknown="\n".join(_row(name, part) for name, part in unknown.items()),
        sexes="\n".join(_row(name, part) for name, part in groups["sex"].items()),
        calm="\n".join(_calm(name, part) for name, part in figures.calm.items()),
        ages="\n".join(_row(name, part) for name, part in groups["age"].items()),
        ethnicities="\n".join(_row(name, part) for name, part in groups["ethnicity"].items()),
        doubt="\n".join(_doubt(name, part) for name, part in figures.doubt.items()),
        thresholds=", ".join(f"{label} {t:.2f}" for label, t in figures.thresholds.items()),
        learnt="; the bundle itself has learnt from all of them" if terms.calm else "",
        right=figures.confident_and_right,
        seed=settings.get("seed", 0),
        share=f" --share {settings['share']}" if settings.get("share", 1) < 1 else "",
    )


def _row(name: str, part: Mapping[str, Any]) -> str:
    measures = " | ".join(interval(part[measure]) for measure in ("ua", "accuracy", "ece"))
    return f"| {name} | {part['n']} | {measures} | {part.get('risk_coverage', '')} |"


def _recalls(name: str, part: Mapping[str, Any]) -> str:
    values = " | ".join(
        "-" if value is None else f"{value:.2f}" for value in part["recall"].values()
    )
    return f"| {name} | {values} |"


def _calm(name: str, rates: Mapping[str, Any]) -> str:
    columns = " | ".join(_rate(rates, key) for key in ("confident", "angry_or_sad"))
    return f"| {name} | {rates['n']} | {rates['hours'] * 60:.0f} | {columns} |"


def _rate(rates: Mapping[str, Any], key: str) -> str:
    value, (low, high) = rates[f"{key}_per_hour"], rates[f"{key}_per_hour_interval"]
    return f"{value:.0f}" if low is None else f"{value:.0f} ({low:.0f}-{high:.0f})"


def _doubt(name: str, part: Mapping[str, float]) -> str:
    return f"| {name} | {part['n']} | {part['confident']:.2f} | {part['auroc']:.2f} |"

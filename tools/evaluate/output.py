"""What every evaluation prints and writes: the measures with their intervals, groups, and whose they are."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.errors import UserError
from streamer_models.bundle import Bundle, BundleError, find_bundle
from tools.evaluate.metrics import SCALARS, Judgements, resampled, share
from tools.printing import print_rows

CALM = "neutral"
REJECTED = 0.25
"""The share of least confident utterances that `abstention` leaves out."""


def bundle_directory(name: str) -> Path:
    """Return the directory of a bundle.

    Raises:
        UserError: There is none.
    """
    try:
        return find_bundle(name)
    except BundleError as error:
        raise UserError(str(error)) from error


def load_bundle(name: str) -> Bundle:
    """Return a bundle by its directory, or by the name of a shipped one.

    Raises:
        UserError: There is none, or it is damaged.
    """
    try:
        return Bundle.load(find_bundle(name))
    except BundleError as error:
        raise UserError(str(error)) from error


def bundle_identity(directory: Path) -> dict[str, str]:
    """Return name, and the SHA-256 of the file which in turn names those of all others."""
    manifest = (directory / "bundle.json").read_bytes()
    return {
        "name": json.loads(manifest)["name"],
        "sha256": hashlib.sha256(manifest).hexdigest(),
    }


def abstention(
    judgements: Judgements, threshold: float, thresholds: Mapping[str, float] | None = None
) -> dict[str, Any]:
    """Return what is gained by saying nothing where confidence is low.

    Args:
        judgements: What was said.
        threshold: Least confidence.
        thresholds: Those of labels for which it is another.

    Returns:
        `threshold`; `rejected`, the share of utterances under it, and `accuracy` of the others;
        `accuracy_without_least_confident`, after leaving out a quarter whatever the threshold, and how much more that
        is, `gain_without_least_confident`, with its interval. Where one of the labels is neutral, the shares that get a
        label other than neutral with confidence: `confident_and_right` and `confident_and_wrong` of the utterances that
        are not neutral, `neutral_and_alarmed` of those that are.
    """
    confidence = judgements.probabilities.max(axis=1)
    correct = judgements.predicted == judgements.truth
    order = np.argsort(confidence, kind="stable")
    rest = order[round(REJECTED * len(order)) :]
    surest = np.isin(np.arange(len(order)), rest)
    least = dict.fromkeys(judgements.labels, threshold) | dict(thresholds or {})
    kept = confidence >= np.array([least[name] for name in judgements.labels])[judgements.predicted]
    result: dict[str, Any] = {
        "threshold": round(threshold, 4),
        "rejected": _mean(~kept),
        "accuracy": _mean(correct[kept]),
        "accuracy_without_least_confident": _mean(correct[rest]),
        "gain_without_least_confident": resampled(
            [correct & surest, surest, correct, np.ones(len(order))],
            judgements.clusters,
            lambda sums: sums[..., 0] / sums[..., 1] - sums[..., 2] / sums[..., 3],
        ),
    }
    if CALM not in judgements.labels:
        return result
    calm = judgements.labels.index(CALM)
    said, expressive = kept & (judgements.predicted != calm), judgements.truth != calm
    for name, hits, of in (
        ("confident_and_right", said & correct, expressive),
        ("confident_and_wrong", said & ~correct, expressive),
        ("neutral_and_alarmed", said, ~expressive),
    ):
        part = resampled([hits & of, of], judgements.clusters, share)
        result[name] = {"n": int(of.sum()), **part}
    return result


def write_json(path: Path | None, result: Mapping[str, Any]) -> None:
    """Write a result where a file was asked for.

    Raises:
        UserError: It cannot be written.
    """
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    except OSError as error:
        raise UserError(f"{path}: cannot be written ({error.strerror})") from error


def print_table(title: str, result: Mapping[str, Any], labels: Sequence[str]) -> None:
    """Print the result and its groups as a table."""

    def row(name: str, part: Mapping[str, Any]) -> tuple[str, ...]:
        cells = [interval(part[scalar]) for scalar in SCALARS]
        recalls = [_plain(part["recall"].get(label)) for label in labels]
        return (name, str(part["n"]), *cells, *recalls)

    rows = [row("all", result)]
    for grouping, groups in result.get("groups", {}).items():
        rows += [(), *(row(f"{grouping} {name}", part) for name, part in groups.items())]
    print_rows(title, ("part", "n", *SCALARS, *labels), rows)


def interval(measure: Mapping[str, float | None]) -> str:
    """Return a figure and its interval as they stand in a table."""
    value = _plain(measure["value"])
    if measure["low"] is None:
        return value
    return f"{value} [{_plain(measure['low'])}-{_plain(measure['high'])}]"


def _plain(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def _mean(values: NDArray[np.bool_]) -> float:
    return round(float(values.mean()), 4) if len(values) else float("nan")

"""Measures of a classifier, with intervals that know whom the utterances came from.

Utterances of one speaker, or of one dialogue, resemble each other: an interval that resamples utterances is too
narrow. These resample the groups (a cluster bootstrap; Efron & Tibshirani, An Introduction to the Bootstrap, 1993).

All measures are computed from a few sums of each group, so that a thousand resamplings cost a matrix product.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 15
"""Bins of equal width in which confidence is compared with accuracy."""

RESAMPLES = 1000
SCALARS = ("accuracy", "ua", "weighted_f1", "macro_f1", "ece")

_Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judgements:
    """What was said about n utterances, and what was true.

    Attributes:
        labels: The names of the classes.
        truth: int [n], index into `labels`.
        probabilities: [n, classes], rows sum to 1; the label said is the most probable one.
        clusters: The speaker or dialogue of each utterance: what the bootstrap resamples.
    """

    labels: tuple[str, ...]
    truth: NDArray[np.int64]
    probabilities: _Floats
    clusters: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.probabilities.shape != (len(self.truth), len(self.labels)):
            raise ValueError(
                f"{len(self.truth)} utterances, but probabilities {self.probabilities.shape}"
            )
        if len(self.clusters) != len(self.truth):
            raise ValueError(f"{len(self.truth)} utterances, but {len(self.clusters)} clusters")

    @classmethod
    def of(
        cls,
        labels: Sequence[str],
        truth: Sequence[str],
        probabilities: ArrayLike,
        clusters: Sequence[str],
    ) -> "Judgements":
        """Make judgements from names of classes instead of indices."""
        places = {label: index for index, label in enumerate(labels)}
        indices = np.asarray([places[name] for name in truth], np.int64)
        matrix = np.asarray(probabilities, np.float64).reshape(len(indices), len(labels))
        return cls(tuple(labels), indices, matrix, tuple(clusters))

    @property
    def predicted(self) -> NDArray[np.int64]:
        """The class said of each utterance, int [n]."""
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    def select(self, keep: NDArray[np.bool_]) -> "Judgements":
        """Return those utterances for which `keep` [n] holds."""
        clusters = tuple(cluster for cluster, kept in zip(self.clusters, keep, strict=True) if kept)
        return Judgements(self.labels, self.truth[keep], self.probabilities[keep], clusters)


@dataclass(frozen=True)
class Sums:
    """All that the measures need; sums of several groups are the sums of their union.

    Attributes:
        confusion: [..., classes, classes], truth by prediction.
        bins: [..., BINS, 3]: utterances, correct ones, and total confidence in each bin of confidence.
    """

    confusion: _Floats
    bins: _Floats

    @classmethod
    def by_cluster(cls, judgements: Judgements) -> "Sums":
        """Return one row for each cluster, in the order in which they first appear."""
        places: dict[str, int] = {}
        rows = np.asarray(
            [places.setdefault(name, len(places)) for name in judgements.clusters], np.int64
        )
        classes, predicted = len(judgements.labels), judgements.predicted
        confusion = np.zeros((len(places), classes, classes))
        np.add.at(confusion, (rows, judgements.truth, predicted), 1.0)
        confidence = judgements.probabilities.max(axis=1, initial=0.0)
        place = _bin(confidence)
        bins = np.zeros((len(places), BINS, 3))
        correct = predicted == judgements.truth
        np.add.at(
            bins, (rows, place), np.stack((np.ones_like(confidence), correct, confidence), axis=1)
        )
        return cls(confusion, bins)

    def weighted(self, weights: _Floats) -> "Sums":
        """Return the union of clusters taken `weights` [resamples, clusters] times."""
        return Sums(np.tensordot(weights, self.confusion, 1), np.tensordot(weights, self.bins, 1))


def measures(sums: Sums) -> dict[str, _Floats]:
    """Return the scalars of `SCALARS` and `recall` [..., classes] (nan where the class is absent).

    Classes that occur neither as truth nor as prediction count in no mean; the unweighted accuracy (`ua`) is the mean
    recall over the classes present in the truth. The expected calibration error is that of Naeini et al. (AAAI 2015).
    """
    confusion = sums.confusion
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    support, said = confusion.sum(axis=-1), confusion.sum(axis=-2)
    total = support.sum(axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        recall = np.where(support > 0, hits / support, np.nan)
        f1 = np.where(support + said > 0, 2 * hits / (support + said), np.nan)
        gaps = np.abs(sums.bins[..., 1] - sums.bins[..., 2]).sum(axis=-1)
        return {
            "accuracy": hits.sum(axis=-1) / total,
            "ua": _mean(recall),
            "weighted_f1": (np.nan_to_num(f1) * support).sum(axis=-1) / total,
            "macro_f1": _mean(f1),
            "ece": gaps / total,
            "recall": recall,
        }


def draws(clusters: int, *, resamples: int = RESAMPLES, seed: int = 0) -> NDArray[np.int64]:
    """Return how often each cluster is in each resampling, [resamples, clusters]."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)


def share(sums: _Floats) -> _Floats:
    """Return the first sum by the second, a statistic for `resampled`."""
    return np.asarray(sums[..., 0] / sums[..., 1])


def report(judgements: Judgements, *, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """Return the measures of `judgements` as they stand in JSON.

    Returns:
        `n`; each of `SCALARS` as {"value", "low", "high"} with the 2.5th and 97.5th percentile of `resamples`
        resamplings of clusters (None where there is a single cluster, or nothing to measure); `recall` of each class
        (None where absent).
    """
    sums = Sums.by_cluster(judgements)
    clusters = len(sums.confusion)
    values = measures(sums.weighted(np.ones((1, clusters))))
    spread: dict[str, _Floats] = {}
    if clusters > 1:
        weights = draws(clusters, resamples=resamples, seed=seed)
        spread = measures(sums.weighted(weights.astype(np.float64)))
    result: dict[str, Any] = {"n": len(judgements.truth)}
    for name in SCALARS:
        low, high = np.nanpercentile(spread[name], (2.5, 97.5)) if spread else (np.nan, np.nan)
        result[name] = {
            "value": number(values[name][0]),
            "low": number(low),
            "high": number(high),
        }
    result["recall"] = {
        label: number(value)
        for label, value in zip(judgements.labels, values["recall"][0], strict=True)
    }
    return result


def grouped_report(
    judgements: Judgements,
    groups: Mapping[str, Sequence[str]],
    *,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> dict[str, Any]:
    """Return `report` of all, and under `groups` the same for each value of each grouping.

    Args:
        judgements: n utterances.
        groups: Such as {"corpus": the n corpora}; utterances with an empty value are in no group.
        resamples: How often the bootstrap draws.
        seed: Of the bootstrap.
    """
    result = report(judgements, resamples=resamples, seed=seed)
    result["groups"] = {
        name: {
            value: report(
                judgements.select(np.asarray([v == value for v in values])),
                resamples=resamples,
                seed=seed,
            )
            for value in sorted(set(values) - {""})
        }
        for name, values in groups.items()
    }
    return result


def resampled(
    columns: ArrayLike,
    clusters: Sequence[str],
    statistic: Callable[[_Floats], _Floats],
    *,
    seed: int = 0,
) -> dict[str, float | None]:
    """Return a figure from sums over utterances, with its interval over clusters, as `report` gives one.

    Args:
        columns: What to sum, [k, n].
        clusters: Of each of the n utterances.
        statistic: Sums [..., k] -> figures [...].
        seed: Of the bootstrap.
    """
    values = np.asarray(columns, np.float64)
    names = {name: row for row, name in enumerate(dict.fromkeys(clusters))}
    sums = np.zeros((len(names), len(values)))
    np.add.at(sums, np.array([names[name] for name in clusters], np.int64), values.T)
    weights = draws(len(sums), seed=seed)
    with np.errstate(divide="ignore", invalid="ignore"):
        drawn = statistic(weights @ sums)
        value = float(statistic(sums.sum(axis=0)))
    known = drawn[~np.isnan(drawn)]
    spread = len(sums) > 1 and len(known) > 0
    low, high = np.percentile(known, (2.5, 97.5)) if spread else (np.nan, np.nan)
    return {"value": number(value), "low": number(low), "high": number(high)}


def ece_by_chance(judgements: Judgements, *, draws: int = 200, seed: int = 0) -> float:
    """Return the expected calibration error that these confidences would measure on so few utterances, were they right.

    Args:
        judgements: Of which only the probabilities count.
        draws: Of outcomes, each utterance being right as often as its confidence says.
        seed: Of the draws.
    """
    rng = np.random.default_rng(seed)
    confidence = judgements.probabilities.max(axis=1)
    place = _bin(confidence)
    right = rng.random((draws, len(confidence))) < confidence
    gaps = np.stack(
        [(right - confidence)[:, place == number].sum(axis=1) for number in range(BINS)]
    )
    return float(np.abs(gaps).sum(axis=0).mean() / len(confidence))


def _bin(confidence: _Floats) -> NDArray[np.int64]:
    return np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)


def _mean(values: _Floats) -> _Floats:
    """Return mean over the last axis of what is not nan; nan where nothing is left."""
    present = ~np.isnan(values)
    return np.asarray(np.where(present, values, 0.0).sum(axis=-1) / present.sum(axis=-1))


def equal_error_rate(
    scores: _Floats, same: NDArray[np.bool_], weights: ArrayLike | None = None
) -> float:
    """Return the rate at which as many pairs of one speaker are missed as pairs of two are taken for one.

    Args:
        scores: How alike the pairs are, [n].
        same: Which are of one speaker, [n].
        weights: How often each counts, [n]; None: once.

    Returns:
        The rate; nan without pairs of both kinds.
    """
    order = np.argsort(scores)
    counts = np.ones(len(scores)) if weights is None else np.asarray(weights, np.float64)
    same, counts = same[order], counts[order]
    totals = counts[same].sum(), counts[~same].sum()
    if not all(totals):
        return float("nan")
    missed = np.cumsum(counts * same) / totals[0]
    false = 1 - np.cumsum(counts * ~same) / totals[1]
    place = int(np.argmin(np.abs(missed - false)))
    return float(missed[place] + false[place]) / 2


def number(value: Any) -> float | None:
    """Return a figure as it stands in JSON: four decimals; None where there is none."""
    return round(float(value), 4) if np.isfinite(value) else None

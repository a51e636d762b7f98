"""How well estimated dimensions agree with rated ones: Lin's concordance correlation, with intervals over groups."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tools.evaluate.metrics import draws

_Floats = NDArray[np.float64]
_LEAST = 1e-12
"""Spread under which nothing varies."""


def concordance_report(
    estimated: _Floats, rated: _Floats, clusters: Sequence[str], names: Sequence[str]
) -> dict[str, Any]:
    """Return `n`, and of each dimension the CCC as {"value", "low", "high"}; rows with an unknown rating are left out.

    Args:
        estimated: [n, D].
        rated: [n, D]; NaN where unknown.
        clusters: The speaker or dialogue of each row, which the bootstrap resamples.
        names: Of the dimensions.
    """
    known = np.isfinite(rated).all(axis=1)
    result: dict[str, Any] = {"n": int(known.sum())}
    _, places = np.unique(np.asarray(clusters, str)[known], return_inverse=True)
    count = int(places.max(initial=-1)) + 1
    drawn = draws(count) if count else None
    for column, name in enumerate(names):
        x, y = estimated[known, column], rated[known, column]
        sums = np.zeros((count, 6))
        np.add.at(sums, places, np.stack([np.ones_like(x), x, y, x * x, y * y, x * y], axis=1))
        low, high = None, None
        if count > 1 and drawn is not None:
            spread = _concordance(drawn @ sums)
            low, high = (round(float(np.percentile(spread, q)), 4) for q in (2.5, 97.5))
        value = round(float(_concordance(sums.sum(axis=0)[None])[0]), 4) if count else None
        result[name] = {"value": value, "low": low, "high": high}
    return result


def _concordance(sums: _Floats) -> _Floats:
    """Return the CCC [k] by sums [k, 6] of 1, x, y, x^2, y^2 and xy; 0 where nothing varies."""
    n, x, y, xx, yy, xy = sums.T
    covariance = xy / n - x * y / n**2
    spread = xx / n - (x / n) ** 2 + yy / n - (y / n) ** 2 + ((x - y) / n) ** 2
    usable = spread > _LEAST
    return np.asarray(np.where(usable, 2 * covariance, 0.0) / np.where(usable, spread, 1.0))

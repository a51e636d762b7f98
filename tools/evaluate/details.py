"""Judgements within an evaluation's JSON, utterance by utterance: what the report draws its curves from."""

from typing import Any

import numpy as np

from streamer.errors import UserError
from tools.evaluate.metrics import Judgements

KEY = "judgements"


def to_json(judgements: Judgements) -> dict[str, Any]:
    """Return labels, truth (places in them), probabilities (4 decimals) and clusters."""
    return {
        "labels": list(judgements.labels),
        "truth": judgements.truth.tolist(),
        "probabilities": judgements.probabilities.round(4).tolist(),
        "clusters": list(judgements.clusters),
    }


def from_json(value: Any) -> Judgements:
    """Return what `to_json` was given, up to rounding.

    Raises:
        UserError: It is not that.
    """
    try:
        labels = tuple(str(label) for label in value["labels"])
        probabilities = np.asarray(value["probabilities"], np.float64).reshape(-1, len(labels))
        truth = np.asarray(value["truth"], np.int64)
        judgements = Judgements(labels, truth, probabilities, tuple(map(str, value["clusters"])))
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise UserError(f"not judgements of an evaluation: {error}") from error
    if not set(truth.tolist()) <= set(range(len(labels))):
        raise UserError("not judgements of an evaluation: a truth is not one of the labels")
    if not np.isfinite(probabilities).all():
        raise UserError("not judgements of an evaluation: a probability is not a number")
    return judgements

"""Agreement of dimensions, with intervals."""

import math

import numpy as np
import pytest
import torch

from streamer_models.heads.dimensions import concordance
from tools.evaluate.concordance import concordance_report


def test_the_value_is_that_of_the_loss_and_lies_in_its_interval():
    rng = np.random.default_rng(0)
    rated = rng.normal(size=(80, 2))
    estimated = 0.6 * rated + 0.3 * rng.normal(size=(80, 2)) + 0.1
    people = [f"speaker{place % 8}" for place in range(80)]
    result = concordance_report(estimated, rated, people, ("valence", "arousal"))
    assert result["n"] == 80
    for column, name in enumerate(("valence", "arousal")):
        expected = concordance(
            torch.from_numpy(estimated[:, column]), torch.from_numpy(rated[:, column])
        )
        assert result[name]["value"] == pytest.approx(float(expected), abs=1e-4)
        assert result[name]["low"] <= result[name]["value"] <= result[name]["high"]


def test_what_was_not_rated_is_left_out_and_one_group_has_no_interval():
    rated = np.array([[0.1], [math.nan], [0.5]])
    result = concordance_report(np.array([[0.1], [0.9], [0.5]]), rated, ["a"] * 3, ("valence",))
    assert result == {"n": 2, "valence": {"value": 1.0, "low": None, "high": None}}
    nothing = concordance_report(np.zeros((0, 1)), np.zeros((0, 1)), [], ("valence",))
    assert nothing["valence"]["value"] is None

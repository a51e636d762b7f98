"""How well the speaker encoder tells people apart: rates, and the whole command on clips and on a recording."""

import argparse
import json

import numpy as np
import pytest

from streamer.errors import UserError
from tools.evaluate import voices
from tools.evaluate.metrics import equal_error_rate
from tools.evaluate.rttm import Turn
from tools.evaluate.voices import alone


def test_equal_error_of_scores_that_divide_pairs_is_zero():
    scores, same = np.array([0.1, 0.2, 0.8, 0.9]), np.array([False, False, True, True])
    assert equal_error_rate(scores, same, np.ones(4)) == 0
    assert equal_error_rate(scores, ~same, np.ones(4)) == 1


def test_equal_error_weighs_pairs():
    scores, same = np.array([0.1, 0.5, 0.3, 0.9]), np.array([False, False, True, True])
    assert equal_error_rate(scores, same, np.ones(4)) == 0.5
    assert equal_error_rate(scores, same, np.array([1, 0, 1, 1])) == 0


def test_there_is_no_equal_error_without_pairs_of_both_kinds():
    assert np.isnan(equal_error_rate(np.array([0.5]), np.array([True]), np.ones(1)))


def test_takes_what_is_said_while_nobody_else_speaks():
    turns = [Turn(0, 4, 1, "ann"), Turn(3, 6, 1, "bob"), Turn(7, 8, 1, "ann")]
    assert [(one.start, one.end, one.speaker) for one in alone(turns)] == [
        (0, 3, "ann"),
        (4, 6, "bob"),
        (7, 8, "ann"),
    ]


def test_measures_a_real_meeting(shared_data, tmp_path):
    plain = {"speech": None, "data": shared_data / "calls", "only": "meet_ami_trn00", "people": 2}
    file = tmp_path / "result.json"
    voices.run(argparse.Namespace(**plain, json=file))
    rows = json.loads(file.read_text())["pieces"]
    assert {row["line"] for row in rows} == {"as recorded", "telephone"}
    shortest = next(row for row in rows if row["seconds"] == 0.8)
    assert shortest["speakers"] == 2  # the third never speaks alone for that long
    assert shortest["low"] <= shortest["eer"] <= shortest["high"] < 0.5


def test_says_when_there_is_nothing_to_measure(tmp_path):
    with pytest.raises(UserError, match="--speech"):
        voices.run(argparse.Namespace(speech=None, data=None, only="", people=2, json=None))

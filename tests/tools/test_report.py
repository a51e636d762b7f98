"""The page holds what the evaluations found, needs nothing else, and refuses what is none."""

import json
import re

import numpy as np
import pytest

from tests.tools.iemocap_corpus import EMOTION4
from tools.command_line import dispatch
from tools.evaluate import __main__ as evaluate
from tools.evaluate.details import KEY, to_json
from tools.evaluate.metrics import Judgements, grouped_report

LABELS = tuple(EMOTION4.values())


def evaluation(n=80, seed=0):
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 4, n)
    probabilities = rng.dirichlet((1,) * 4, n)
    speakers = [f"<b>{place % 5}" for place in range(n)]
    judgements = Judgements(LABELS, truth, probabilities, tuple(speakers))
    result = grouped_report(judgements, {"speaker": speakers}, resamples=20)
    result["bundle"] = {"name": "mini", "sha256": "0" * 64}
    return judgements, {**result, KEY: to_json(judgements)}


def report(*arguments):
    return dispatch("evaluate", "", evaluate.COMMANDS, ["report", *map(str, arguments)])


def test_one_page_shows_all_evaluations(tmp_path):
    judgements, result = evaluation()
    (tmp_path / "first.json").write_text(json.dumps(result))
    (tmp_path / "second.json").write_text(json.dumps(evaluation(seed=1)[1]))
    page = tmp_path / "report.html"
    assert report(tmp_path / "first.json", tmp_path / "second.json", "--out", page) == 0
    html = page.read_text()
    assert html.count("<h2>") == 2
    assert html.count("<svg") == 8
    for drawing in ("confusion matrix", "reliability", "risk by coverage", "spread over groups"):
        assert drawing in html
    assert f"{result['weighted_f1']['value']:.3f}" in html
    angry = int(((judgements.truth == 0) & (judgements.predicted == 0)).sum())
    assert f">{angry}</text>" in html


def test_the_page_is_complete_and_names_are_only_text(tmp_path):
    (tmp_path / "a.json").write_text(json.dumps(evaluation()[1]))
    report(tmp_path / "a.json", "--out", tmp_path / "a.html")
    html = (tmp_path / "a.html").read_text()
    assert not re.search(r"https?://|<script|<link|src=", html)
    assert "<b>" not in html
    assert "&lt;b&gt;0" in html


def test_without_single_judgements_there_are_the_figures(tmp_path):
    result = evaluation()[1]
    del result[KEY]
    (tmp_path / "a.json").write_text(json.dumps(result))
    assert report(tmp_path / "a.json", "--out", tmp_path / "a.html") == 0
    html = (tmp_path / "a.html").read_text()
    assert html.count("<svg") == 1
    assert f"{result['ua']['value']:.3f}" in html


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"n": 1}', "{" * 100_000])
def test_other_files_are_refused_in_one_line(tmp_path, capsys, content):
    (tmp_path / "a.json").write_text(content)
    assert report(tmp_path / "a.json", "--out", tmp_path / "a.html") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    "damage", [{"truth": [7] * 80}, {"probabilities": [1.0]}, {"labels": None}, {"clusters": []}]
)
def test_damaged_judgements_are_refused(tmp_path, damage):
    result = evaluation()[1]
    result[KEY] |= damage
    (tmp_path / "a.json").write_text(json.dumps(result))
    assert report(tmp_path / "a.json", "--out", tmp_path / "a.html") == 2

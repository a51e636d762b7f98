"""`tools.evaluate speech`: what it judges, what it writes, and that it hears what the program hears."""

import json
import re

import numpy as np
import pytest
import torch

from streamer.errors import UserError
from streamer_models.windows import Dialogue
from tests.models.tiny_bundle import make_bundle
from tests.tools.pages import assert_its_page_has_curves
from tests.tools.small_world import speech
from tools.command_line import dispatch
from tools.data.cache import open_clips
from tools.data.manifest import Clip
from tools.evaluate.__main__ import COMMANDS
from tools.evaluate.conditions import CONDITIONS
from tools.evaluate.judging import judge
from tools.evaluate.metrics import Judgements
from tools.evaluate.speech import by_votes, embed, evaluate, evaluated

LABELS = ("angry", "happy", "sad", "neutral")


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips") / "speech"
    speech(folder)
    return folder


def run(*arguments):
    return dispatch("tools.evaluate", "", COMMANDS, ["speech", *map(str, arguments)])


def test_the_command_prints_a_table_and_writes_the_agreed_json(clips, tmp_path, capsys):
    make_bundle().save(tmp_path / "bundle")
    code = run(
        "--bundle", tmp_path / "bundle", "--data", clips, "--json", tmp_path / "out.json",
        "--cache", tmp_path / "cache", "--robustness", "--histories",
    )  # fmt: skip
    assert code == 0
    assert "corpus tones" in capsys.readouterr().out
    got = json.loads((tmp_path / "out.json").read_text())
    assert got["n"] == 16  # the development part
    for name in ("accuracy", "ua", "weighted_f1", "macro_f1", "ece"):
        assert got[name]["low"] <= got[name]["high"]
    assert set(got["recall"]) == set(LABELS)
    assert {name: part["n"] for name, part in got["groups"]["speaker"].items()} == {
        "cid": 8,
        "dot": 8,
    }
    assert set(got["groups"]["gender"]) == {"female", "male"}
    assert got["bundle"]["name"] == "tiny"
    assert len(got["bundle"]["sha256"]) == 64
    assert set(got["robustness"]) == set(CONDITIONS)
    assert got["robustness"]["short"]["low"] <= got["robustness"]["short"]["high"]
    assert set(got["histories"]) == {"equal", "mostly neutral", "same throughout"}
    assert got["histories"]["equal"]["8"]["n"] == 2 * 12  # speakers, histories of each
    assert "votes" not in got  # nobody was asked
    assert_its_page_has_curves(tmp_path / "out.json")


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--bundle", "nowhere"), "no bundle nowhere"),
        (("--data", "/nowhere"), r"no manifest\.csv"),
        (("--split", "test"), "parts that have some: dev, train"),
    ],
)
def test_mistakes_are_one_line_and_exit_code_2(clips, tmp_path, capsys, arguments, complaint):
    make_bundle().save(tmp_path / "bundle")
    defaults = {"--bundle": tmp_path / "bundle", "--data": clips, "--cache": tmp_path / "cache"}
    defaults |= dict([arguments])
    assert run(*(word for pair in defaults.items() for word in pair)) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert re.search(complaint, error)


def test_a_damaged_bundle_is_one_line(clips, tmp_path, capsys):
    make_bundle().save(tmp_path / "bundle")
    (tmp_path / "bundle" / "weights.safetensors").write_bytes(b"cut off")
    assert run("--bundle", tmp_path / "bundle", "--data", clips) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1
    assert "cut off" in error


def test_judges_what_no_model_has_learnt_from_unless_told_otherwise():
    def clip(name, split, emotion="sad", corpus="x"):
        return Clip(name, name, corpus, emotion4=emotion, split=split)

    mixed = [clip("a", "train"), clip("b", "dev"), clip("c", "test")]
    mixed += [clip("d", "dev", ""), clip("e", "dev", corpus="noise")]
    assert evaluated(mixed, LABELS, None) == [1, 2]
    assert evaluated(mixed, LABELS, "train") == [0]
    assert evaluated(mixed[:1], LABELS, None) == [0]
    with pytest.raises(UserError, match="no clips"):
        evaluated(mixed[3:], LABELS, None)


def test_a_clip_is_heard_alone_whatever_is_in_its_batch(clips, tmp_path):
    bundle = make_bundle()
    waves = [open_clips(clips, tmp_path).wave(i) for i in range(6)]
    together = embed(bundle.model.audio, waves, "")
    with torch.inference_mode():
        alone = torch.cat([bundle.model.audio(torch.from_numpy(wave)[None]) for wave in waves])
    assert torch.allclose(together, alone, atol=1e-5)


def test_a_clip_is_judged_as_the_running_program_judges_a_first_utterance_without_text(
    clips, tmp_path
):
    bundle = make_bundle()
    decoded = open_clips(clips, tmp_path)
    places = evaluated(decoded.clips, bundle.model.labels, "dev")
    row = embed(bundle.model.audio, [decoded.wave(places[0])], "")
    yes, no = torch.ones(1, dtype=torch.bool), torch.zeros(1, dtype=torch.bool)
    expected = judge(
        bundle, [Dialogue(row, torch.zeros_like(row), yes, no, torch.zeros(1, dtype=torch.int64))]
    )
    result = evaluate(bundle, decoded, places[:1])
    right = LABELS[int(np.argmax(expected[0][0]))] == decoded.clips[places[0]].emotion4
    assert result["accuracy"]["value"] == float(right)


def test_what_listeners_hear_counts_where_they_were_asked():
    clips = [Clip("c/one.ogg", "s", emotion4="sad"), Clip("c/two.ogg", "s", emotion4="sad")]
    neutral = np.eye(4)[LABELS.index("neutral")]
    said = Judgements.of(LABELS, ["sad", "sad"], [neutral, neutral], ["s", "s"])
    assert by_votes(said, clips, {}) == {}
    asked = by_votes(said, clips, {"two": neutral})
    assert (asked["n"], asked["ua"]["value"]) == (1, 1.0)


@pytest.mark.parametrize("name", list(CONDITIONS))
def test_a_condition_gives_the_same_each_time_and_never_nothing(name):
    for length in (1, 200, 40_000):
        wave = np.random.default_rng(1).normal(0, 0.1, length).astype(np.float32)
        heard = CONDITIONS[name](wave)
        assert np.array_equal(heard, CONDITIONS[name](wave))
        assert np.isfinite(heard).all()
        assert len(heard) >= 1


def test_a_bundle_that_cannot_hear_says_so(clips, tmp_path):
    deaf = make_bundle(audio=None)
    decoded = open_clips(clips, tmp_path)
    with pytest.raises(UserError, match="does not hear"):
        evaluate(deaf, decoded, evaluated(decoded.clips, LABELS, None))

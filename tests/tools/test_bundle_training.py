"""The command that makes the bundle: whole, repeatable, resumable, clear about what is missing."""

import json
import shutil
from dataclasses import replace

import pytest
import torch

from streamer.errors import UserError
from streamer_models.bundle import Bundle
from tests.tools.small_world import text_start, world
from tools.training.checkpoint import load_checkpoint
from tools.training.recipes.bundle import STAGES, train_bundle
from tools.training.recipes.bundle_run import BundleRun, BundleSettings
from tools.training.tasks.audio import AudioSettings
from tools.training.tasks.composition import Composition
from tools.training.tasks.dialogues import StageSettings
from tools.training.tasks.text import TextSettings

SETTINGS = BundleSettings(
    audio=AudioSettings(epochs=1, clips=16, batch=8, copies=1),
    text=TextSettings(epochs=2, utterances=None, tokens=64),
    composition=Composition(versions=2),
    context=StageSettings(epochs=1),
    fusion=StageSettings(epochs=1),
    unseen_voices=1,
    unseen_texts=1,
    window=3,
    written=2,
    clip_versions=1,
    casts=1,
    calls=3,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return world(tmp_path_factory.mktemp("world") / "data")


@pytest.fixture(scope="module")
def train(data, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")

    def call(out, stages=STAGES, *, settings=SETTINGS, seed=3, resume=False, holdout=None):
        run = BundleRun(data, out, seed, resume, settings, cache, holdout)
        train_bundle(run, stages=stages, start=text_start())
        return out

    return call


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("run") / "bundle")


def test_the_result_is_a_whole_bundle(trained):
    bundle = Bundle.load(trained)
    assert (bundle.name, bundle.model.labels) == (
        "streamer-en-1",
        ("angry", "happy", "sad", "neutral"),
    )
    assert 0.25 <= bundle.threshold <= 1
    assert "not for commercial use" in bundle.card
    assert "pairing of text and voice is composed" in bundle.card
    assert "--seed 3" in bundle.card
    assert "{" not in bundle.card


def test_what_it_was_made_from_is_written_beside_every_stage(trained):
    for path in ("text/text", "context/context", "fusion/fusion", "bundle"):
        record = json.loads((trained / f"{path}.run.json").read_text())
        assert record["seed"] == 3
        assert record["settings"]
        assert record["data"]


def test_a_fold_has_encoders_that_have_not_seen_it(trained):
    for kind in ("audio", "text"):
        files = [trained / kind / folder / f"{kind}.safetensors" for folder in ("", "without-0")]
        assert len({file.read_bytes() for file in files}) == 2
    speakers = [
        load_checkpoint(trained / "audio" / folder / "audio.safetensors")[1]["apart"]
        for folder in ("", "without-0")
    ]
    assert speakers == [[], ["ann"]]


def test_the_later_stages_can_learn_from_all_of_the_training_part(train, trained, tmp_path):
    for kind in ("audio", "text"):
        shutil.copytree(trained / kind, tmp_path / kind)
    train(tmp_path, settings=replace(SETTINGS, unseen_voices=0, unseen_texts=2), resume=True)
    rows = {
        folder: load_checkpoint(folder / "context" / "clips.safetensors")[0]["clips"].shape[1]
        for folder in (trained, tmp_path)
    }
    assert rows == {trained: 8, tmp_path: 16}
    assert not (tmp_path / "audio" / "without-1").exists()
    assert (tmp_path / "text" / "without-1").exists()


def test_a_seed_gives_the_same_bundle_stage_by_stage_or_at_once(trained, train, tmp_path):
    for stage in STAGES:
        train(tmp_path, (stage,))
    for name in ("weights.safetensors", "bundle.json", "MODEL_CARD.md"):
        assert (tmp_path / name).read_bytes() == (trained / name).read_bytes()


def test_resuming_keeps_what_is_finished_and_makes_the_rest(trained, train, tmp_path):
    train(tmp_path, ("audio", "text", "context"))
    before = {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*.safetensors")}
    train(tmp_path, resume=True)
    for path, written in before.items():
        assert path.stat().st_mtime_ns == written, path.name
    assert (tmp_path / "bundle.json").read_bytes() == (trained / "bundle.json").read_bytes()


def test_another_seed_is_not_taken_for_the_same_run(trained, train):
    with pytest.raises(UserError, match="train without --resume"):
        train(trained, ("audio",), seed=4, resume=True)
    with pytest.raises(UserError, match="train without --resume"):
        train(trained, ("text",), seed=4, resume=True)


@pytest.fixture(scope="module")
def on_all(trained, train, tmp_path_factory):
    return train(tmp_path_factory.mktemp("all") / "bundle", holdout=trained)


def test_with_a_holdout_bundle_it_learns_from_the_development_parts_too(trained, on_all):
    rows = [
        [
            load_checkpoint(folder / "context" / f"{kind}.safetensors")[0][kind].shape[1]
            for kind in ("clips", "texts")
        ]
        for folder in (trained, on_all)
    ]
    assert all(more > fewer for fewer, more in zip(*rows, strict=True))
    learnt = [
        load_checkpoint(folder / "audio" / "audio.safetensors")[1]["parts"]
        for folder in (trained, on_all)
    ]
    assert learnt == [["train"], ["train", "dev"]]


def test_the_card_of_a_bundle_has_the_figures_of_its_holdout_bundle(trained, on_all):
    holdout, bundle = Bundle.load(trained), Bundle.load(on_all)
    assert "figures are those of a holdout bundle" in bundle.card
    assert "figures are those of a holdout bundle" not in holdout.card
    figures = [
        [line for line in card.splitlines() if line.startswith("|")]
        for card in (holdout.card, bundle.card)
    ]
    assert figures[0] == figures[1]
    assert (bundle.calibration, bundle.threshold) == (holdout.calibration, holdout.threshold)


def test_a_bundle_of_other_settings_is_no_holdout_bundle(trained, on_all, train, tmp_path):
    for holdout, settings in ((trained, replace(SETTINGS, window=2)), (on_all, SETTINGS)):
        with pytest.raises(UserError, match="no holdout bundle"):
            train(tmp_path, settings=settings, holdout=holdout)
    with pytest.raises(UserError, match="does not say how it was trained"):
        train(tmp_path, holdout=tmp_path / "nothing")


def test_a_stage_asks_for_the_earlier_ones(train, tmp_path):
    with pytest.raises(UserError, match="train that stage first"):
        train(tmp_path, ("context",))


def test_later_stages_leave_earlier_ones_as_they_are(trained):
    from tools.training.tasks.text import load_text_stage

    encoder, _, _ = load_text_stage(trained / "text")
    kept = Bundle.load(trained).model.text
    assert kept is not None
    for name, tensor in encoder.state_dict().items():
        torch.testing.assert_close(
            kept.state_dict()[name], tensor, atol=0.02, rtol=0.02, msg=name
        )  # half precision

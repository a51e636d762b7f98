"""The audio stage learns, repeats itself for a seed, survives a kill, and draws its clips fairly."""

import json
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from streamer.errors import UserError
from tests.tools.interruption import KilledError, kill_after
from tests.tools.small_world import speech
from tools.data.cache import open_clips
from tools.data.manifest import Clip
from tools.training.tasks.audio import CHECKPOINT, AudioSettings, load_audio_stage, train_audio
from tools.training.tasks.audio_data import (
    NONE,
    Sampler,
    Targets,
    balanced_weights,
    development_clips,
    open_versions,
    training_clips,
)
from tools.training.tasks.audio_network import Masks, Variation

SETTINGS = AudioSettings(epochs=3, clips=24, batch=8, copies=1, ramp=0.5, look=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data")
    speech(folder / "speech")
    return folder


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def sampler(data, cache):
    clips = open_clips(data / "speech", cache)
    train = training_clips(clips.clips)
    return Sampler(
        open_versions(clips, copies=1, seed=0, cache=cache),
        np.asarray(train),
        balanced_weights(clips.clips, train, unlabelled=0.0),
        Targets.of(clips.clips, train),
        longest=40,
    )


def train(data, cache, out, settings=SETTINGS, **options):
    return train_audio(data, out, settings=settings, cache=cache, **options)


def weights(out):
    return {k: v for m in load_audio_stage(out) for k, v in m.state_dict().items()}


def same(a, b):
    return all(torch.equal(a[name], b[name]) for name in a)


def test_it_learns_what_can_be_heard(data, cache, tmp_path):
    # four tones, separable within seconds; unseen "speakers"
    settings = replace(SETTINGS, epochs=8, clips=64, learning_rate=3e-3, average=0.9)
    results = train(data, cache, tmp_path, settings)
    assert results["n"] == 16
    assert results["ua"]["value"] >= 0.75
    assert json.loads((tmp_path / "audio.json").read_text())["part"] == "dev"


def test_equal_seeds_give_equal_weights_and_others_do_not(data, cache, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        train(data, cache, tmp_path / name, seed=seed)
    assert same(weights(tmp_path / "a"), weights(tmp_path / "b"))
    assert not same(weights(tmp_path / "a"), weights(tmp_path / "c"))


def test_resumes_a_killed_training_to_equal_weights(data, cache, tmp_path, monkeypatch):
    train(data, cache, tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(KilledError):
            train(data, cache, tmp_path / "cut")
    assert not (tmp_path / "cut" / CHECKPOINT).exists()
    train(data, cache, tmp_path / "cut", resume=True)
    assert same(weights(tmp_path / "whole"), weights(tmp_path / "cut"))


def test_refuses_to_resume_another_run(data, cache, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        kill_after(patch, 1)
        with pytest.raises(KilledError):
            train(data, cache, tmp_path)
    with pytest.raises(UserError, match="other settings, seed or data"):
        train(data, cache, tmp_path, seed=5, resume=True)


def test_the_run_is_written_beside_the_result(data, cache, tmp_path):
    train(data, cache, tmp_path, replace(SETTINGS, epochs=1), seed=4)
    run = json.loads((tmp_path / "audio.run.json").read_text())
    assert run["seed"] == 4
    assert run["settings"]["clips"] == 24
    assert len(run["data"]["speech"]) == 64
    assert "commit" in run


def test_a_stage_that_is_missing_or_damaged_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="train that stage first"):
        load_audio_stage(tmp_path)
    (tmp_path / CHECKPOINT).write_bytes(b"\x08" + bytes(100))
    with pytest.raises(UserError, match="damaged"):
        load_audio_stage(tmp_path)


def test_training_and_development_clips_share_no_speaker(data):
    clips = open_clips(data / "speech", data / "cache").clips
    learnt = {clips[i].speaker for i in training_clips(clips)}
    assert learnt
    assert not learnt & {clips[i].speaker for i in development_clips(clips)}


def test_draws_are_balanced_over_speakers_emotions_and_corpora():
    clips = [Clip(f"a{i}", "ann", "big", emotion="sad", emotion4="sad") for i in range(8)]
    clips += [Clip(f"b{i}", f"bob{i}", "big", emotion="sad", emotion4="sad") for i in range(3)]
    clips += [Clip("c", "ann", "big", emotion="angry", emotion4="angry")]
    clips += [Clip(f"d{i}", f"dot{i}", "small", emotion="sad", emotion4="sad") for i in range(4)]
    clips += [Clip("e", "eve", "reading")]
    got = balanced_weights(clips, range(len(clips)), unlabelled=0.1)
    assert got.sum() == pytest.approx(1.0)

    def total(keep):
        return sum(weight for weight, clip in zip(got, clips, strict=True) if keep(clip))

    big_sad = total(lambda c: c.corpus == "big" and c.emotion == "sad")
    assert total(lambda c: c.path.startswith("a")) == pytest.approx(big_sad / 4)
    assert total(lambda c: c.path == "c") == pytest.approx(big_sad)
    ratio = total(lambda c: c.corpus == "big") / total(lambda c: c.corpus == "small")
    assert ratio == pytest.approx((12 / 4) ** 0.5)
    assert total(lambda c: not c.emotion) == pytest.approx(0.1)


def test_an_epoch_is_the_same_for_the_same_key_and_never_leaves_the_training_part(sampler):
    def draw(epoch):
        return list(sampler.epoch(0, epoch, clips=40, batch=8, clean=0.5))

    first, again, other = draw(0), draw(0), draw(1)
    assert sum(len(batch.emotion) for batch in first) == 40
    for a, b in zip(first, again, strict=True):
        assert torch.equal(a.logarithms, b.logarithms)
    assert any(a.logarithms.shape != b.logarithms.shape or not torch.equal(a.logarithms, b.logarithms)
               for a, b in zip(first, other, strict=True))  # fmt: skip
    assert all((batch.speaker != NONE).all() for batch in first)
    assert all(36 <= batch.logarithms.shape[2] <= 40 for batch in first)


@pytest.mark.parametrize("strength", [0.0, 0.5, 1.0])
def test_varied_energies_stay_finite_and_above_the_floor(strength):
    torch.manual_seed(0)
    floor = float(np.log(1e-5))
    logarithms = torch.randn(16, 40, 60) * 4 - 4
    varied = Variation()(logarithms.clamp(min=floor), floor, strength)
    assert varied.shape[:2] == (16, 40)
    assert 36 <= varied.shape[2] <= 60
    assert torch.isfinite(varied).all()
    assert varied.min() >= floor


def test_without_strength_nothing_but_the_place_in_time_is_varied():
    torch.manual_seed(0)
    ramp = torch.arange(60.0).expand(4, 40, 60)
    varied = Variation()(ramp, -100.0, 0.0)
    steps = varied.diff(dim=2)
    assert torch.allclose(steps, torch.ones_like(steps), atol=1e-3)


def test_masks_hide_one_stretch_of_time_and_one_of_bands():
    torch.manual_seed(0)
    features = torch.rand(32, 40, 60) + torch.arange(40 * 60.0).view(40, 60)
    masked = Masks(bands=6, frames=10)(features)
    changed = masked != features
    rows, columns = changed.all(dim=2).sum(dim=1), changed.all(dim=1).sum(dim=1)
    assert rows.max() <= 6
    assert columns.max() <= 10
    assert changed.any()
    assert Counter((rows > 0).tolist())[True] > 16

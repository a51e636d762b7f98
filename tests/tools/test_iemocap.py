"""The research benchmark from end to end, on miniature corpora."""

import json
import shutil
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch

from streamer.errors import UserError
from streamer_models.bundle import Bundle
from streamer_models.context.attention import ContextConfig
from streamer_models.context.fusion import FusionConfig
from tests.tools.iemocap_corpus import write_features, write_release
from tools import train
from tools.data.iemocap import LABELS, read_features, read_utterances
from tools.data.iemocap_release import read_release, wave_path
from tools.evaluate import __main__ as evaluate
from tools.evaluate.details import from_json
from tools.evaluate.dyadic import Conditions, embed_dialogues, judged
from tools.evaluate.ensemble import OTHERS, Ensemble
from tools.training.folds import linear_map
from tools.training.recipes import dyadic
from tools.training.recipes import dyadic_members as members
from tools.training.recipes.dyadic_encoders import Embeddings
from tools.training.recipes.dyadic_settings import DyadicSettings
from tools.training.recipes.iemocap import folds, recalibrated
from tools.training.tasks.acoustic_encoder import AcousticSet, with_past
from tools.training.tasks.acoustics import AcousticSettings, AcousticStage
from tools.training.tasks.dialogues import StageSettings
from tools.training.tasks.text import TextSettings
from tools.training.tasks.waves import WaveSettings, WaveStage

QUICK_STAGE = StageSettings(epochs=8, learning_rate=3e-3)
QUICK = DyadicSettings(
    window=4,
    members=2,
    noise=(0.0, 0.3),
    text=TextSettings(epochs=1, utterances=40, frozen_layers=6),
    context=ContextConfig(hidden=16, layers=1),
    fusion=FusionConfig(width=24, heads=2, layers=1, feed_forward=24),
    context_stage=QUICK_STAGE,
    fusion_stage=QUICK_STAGE,
)
QUICK_AUDIO = AcousticSettings(epochs=2, batch=8, longest=40, convolutional=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_features(tmp_path_factory.mktemp("iemocap"))


@pytest.fixture(scope="module")
def trained(folder, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundle")
    return train_on(folder, (1, 2), out), out


def train_on(folder, sessions, out, seed=0, settings=QUICK, workers=1):
    dialogues = read_utterances(folder, sessions)
    features = read_features(folder, every(dialogues))
    stage = AcousticStage(features, QUICK_AUDIO)
    return dyadic.train_dyadic(
        dialogues, stage, out, name="mini", seed=seed, settings=settings, workers=workers
    )


def every(dialogues):
    return [utterance for dialogue in dialogues for utterance in dialogue]


def run_evaluation(*arguments):
    from tools.command_line import dispatch

    return dispatch("evaluate", "", evaluate.COMMANDS, ["iemocap", *map(str, arguments)])


def weights(path):
    return (path / "weights.safetensors").read_bytes()


def test_a_session_that_was_held_back_is_judged(trained, folder, tmp_path):
    _, out = trained
    wanted = tmp_path / "result.json"
    assert (
        run_evaluation("--bundle", out, "--data", folder, "--sessions", "3", "--json", wanted) == 0
    )
    result = json.loads(wanted.read_text())
    labelled = [u for u in every(read_utterances(folder, [3])) if u.emotion4]
    assert result["n"] == len(labelled) == 16
    assert set(result["groups"]) == {"scenario", "speaker", "session"}
    assert set(result["recall"]) == set(LABELS)
    assert result["bundle"]["name"] == "mini"
    assert "logmel64_session3.npz" in result["run"]["data"]
    assert from_json(result["judgements"]).truth.tolist() == [
        LABELS.index(u.emotion4) for u in labelled
    ]


@pytest.mark.parametrize(
    "condition",
    [
        ["--context", "none"],
        ["--context", "whole"],
        ["--window", "2"],
        ["--text", "none"],
        ["--text", "noisy:0.3"],
        ["--audio", "none"],
        ["--scenario", "impro"],
        ["--alone"],
    ],
)
def test_conditions_change_what_is_said(trained, folder, tmp_path, condition):
    _, out = trained
    common = ["--bundle", out, "--data", folder, "--sessions", "3", "--json"]
    assert run_evaluation(*common, tmp_path / "plain.json") == 0
    assert run_evaluation(*common, tmp_path / "other.json", *condition) == 0
    plain, other = (json.loads((tmp_path / f"{n}.json").read_text()) for n in ("plain", "other"))
    assert plain["judgements"]["probabilities"] != other["judgements"]["probabilities"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--window", "2", "--context", "whole"],
        ["--window", "0"],
        ["--sessions", "4"],
        ["--bundle", "nowhere"],
    ],
)
def test_what_cannot_be_judged_is_said_in_one_line(trained, folder, capsys, wrong):
    _, out = trained
    assert run_evaluation("--bundle", out, "--data", folder, "--sessions", "3", *wrong) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_causal_judgements_do_not_depend_on_what_comes_later(trained, folder):
    result, _ = trained
    dialogues = read_utterances(folder, [3])
    audio_stage = AcousticStage(read_features(folder, every(dialogues)), QUICK_AUDIO)
    audio_stage = type(result.audio_stage)(audio_stage.features, result.audio_stage.acoustics)
    whole, _ = judged(result.causal, audio_stage, dialogues, Conditions())
    begun, _ = judged(result.causal, audio_stage, [dialogues[0][:6]], Conditions())
    assert len(begun.truth) == 5
    assert np.allclose(whole.probabilities[:5], begun.probabilities, atol=1e-5)


def test_the_program_judges_the_bundle_the_same_way(trained, folder):
    from streamer_models.memory import UtteranceEmbedding
    from tests.models.tiny_bundle import classify_next

    result, out = trained
    bundle = Bundle.load(out)
    dialogues = read_utterances(folder, [1])[:1]
    inputs = embed_dialogues(bundle, result.audio_stage, dialogues, Conditions())[0]
    classifier = bundle.classifier()
    state = classifier.new_state()
    said = [
        classify_next(
            classifier, state, UtteranceEmbedding(int(speaker), audio, text)
        ).probabilities
        for speaker, audio, text in zip(inputs.speaker, inputs.audio, inputs.text, strict=True)
    ]
    judgements, utterances = judged(Ensemble(bundle), result.audio_stage, dialogues, Conditions())
    kept = [list(p.values()) for p, u in zip(said, dialogues[0], strict=True) if u in utterances]
    assert np.allclose(judgements.probabilities, kept, atol=1e-5)


def test_a_second_start_takes_what_is_there(trained, folder, monkeypatch):
    _, out = trained
    before = weights(out)
    for name in ("train_contexts", "train_fusion"):
        monkeypatch.setattr(members, name, lambda *_, **__: pytest.fail("trained again"))
    train_on(folder, (1, 2), out)
    assert weights(out) == before


def test_an_interrupted_training_comes_to_the_same_result(trained, folder, tmp_path, monkeypatch):
    _, out = trained

    def killed(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(members, "train_fusion", killed)
        with pytest.raises(KeyboardInterrupt):
            train_on(folder, (1, 2), tmp_path)
    assert not (tmp_path / "bundle.json").exists()
    train_on(folder, (1, 2), tmp_path)
    assert weights(tmp_path) == weights(out)
    assert weights(tmp_path / "whole") == weights(out / "whole")


def test_models_are_averaged(trained, folder):
    result, out = trained
    dialogues = read_utterances(folder, [3])
    one, other = (
        Ensemble(replace(result.causal.bundle, model=model))
        for model in (result.causal.bundle.model, *Ensemble.load(out).others)
    )
    inputs = embed_dialogues(one.bundle, result.audio_stage, dialogues, Conditions())[0]
    both = result.causal.logits(inputs, None)
    assert torch.allclose(both, (one.logits(inputs, None) + other.logits(inputs, None)) / 2)
    assert not torch.allclose(one.logits(inputs, None), other.logits(inputs, None), atol=1e-3)


def test_others_of_another_form_are_not_taken(trained, tmp_path):
    _, out = trained
    copy = shutil.copytree(out / "whole", tmp_path / "copy")
    shutil.copy(out / OTHERS, copy / OTHERS)
    with pytest.raises(UserError, match="does not fit"):
        Ensemble.load(copy)


def test_calibration_and_threshold_are_found_on_sessions_left_out(trained):
    result, _ = trained
    bundle = result.causal.bundle
    assert bundle.calibration != QUICK.calibration
    assert 0.25 < bundle.threshold < 1


def test_a_single_session_is_learned_from_too_and_by_several_processes_alike(folder, tmp_path):
    one, several = tmp_path / "one", tmp_path / "several"
    settings = replace(QUICK, members=1)
    result = train_on(folder, (1,), one, settings=settings)
    assert result.causal.bundle.calibration == QUICK.calibration
    train_on(folder, (1,), several, settings=settings, workers=2)
    assert weights(several) == weights(one)
    assert weights(several / "whole") == weights(one / "whole")
    assert (several / "stages" / "logs" / "text.txt").exists()


def test_others_that_have_not_seen_a_session_teach_its_turns(trained, folder, tmp_path):
    _, out = trained
    train_on(folder, (1, 2), tmp_path, settings=replace(QUICK, taught=0.5))
    assert weights(tmp_path) != weights(out)


def test_turns_without_a_label_can_be_taught(folder):
    dialogues = read_utterances(folder, [1])[:1]
    count = len(dialogues[0])
    embeddings = Embeddings(
        torch.zeros(count, 3), torch.zeros(1, count, 3), *2 * [torch.ones(count, dtype=torch.bool)]
    )
    said = torch.full((count, 4), 0.25)
    silent = next(i for i, u in enumerate(dialogues[0]) if not u.emotion4)
    plain = members.labelled_dialogues(dialogues, embeddings)[0].targets
    taught = members.labelled_dialogues(dialogues, embeddings, said, 0.4)[0].targets
    assert plain[silent].tolist() == [0] * 4
    assert taught[silent].tolist() == [0.25] * 4
    told = next(i for i, u in enumerate(dialogues[0]) if u.emotion4)
    assert torch.allclose(taught[told], 0.6 * plain[told] + 0.1)


def test_the_offline_model_is_the_papers_own_form(trained):
    result, _ = trained
    assert result.whole.bundle.model.config.window is None
    assert not result.whole.bundle.model.config.speaker
    assert result.causal.bundle.model.config.window == 4


def test_no_person_and_no_dialogue_is_on_both_sides_of_a_fold(folder):
    dialogues = read_utterances(folder)
    held_back = []
    for _, learned, held in folds(dialogues):
        assert not {u.speaker for u in every(learned)} & {u.speaker for u in every(held)}
        assert not {u.dialogue for u in every(learned)} & {u.dialogue for u in every(held)}
        held_back += every(held)
    assert sorted(u.name for u in held_back) == sorted(u.name for u in every(dialogues))


def test_one_session_cannot_be_cross_validated(folder):
    with pytest.raises(UserError, match="two sessions"):
        folds(read_utterances(folder, [1]))


@pytest.mark.parametrize(("by", "names"), [("session", 2), ("speaker", 4)])
def test_cross_validation_reports_each_fold_and_all(folder, tmp_path, monkeypatch, by, names):
    from tools.command_line import dispatch
    from tools.training.recipes import iemocap

    monkeypatch.setattr(iemocap, "DyadicSettings", lambda: QUICK)
    monkeypatch.setattr(dyadic.cores, "available", lambda: 1)
    monkeypatch.setattr(iemocap, "AcousticStage", partial(AcousticStage, how=QUICK_AUDIO))
    arguments = ["iemocap", "--data", str(folder), "--sessions", "1,2", "--out", str(tmp_path)]
    assert dispatch("train", "", train.COMMANDS, [*arguments, "--cross-validate", by]) == 0
    result = json.loads((tmp_path / "cross_validation.json").read_text())
    assert len(result["groups"]["fold"]) == names
    assert result["n"] == sum(part["n"] for part in result["groups"]["fold"].values()) == 32
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["seed"] == 0
    assert set(run["data"]) >= {"utterances.csv.gz", "logmel64_session1.npz"}


def test_a_release_is_learned_from_waveforms(tmp_path):
    root = write_release(tmp_path / "release")
    dialogues = read_release(root, [1, 2])
    stage = WaveStage(partial(wave_path, root), WaveSettings(epochs=1, batch=8, longest_s=0.4))
    result = dyadic.train_dyadic(
        dialogues, stage, tmp_path / "out", name="mini", settings=QUICK, workers=1
    )
    bundle = Bundle.load(tmp_path / "out")
    assert bundle.model.audio is not None
    fresh = type(bundle.model.audio)()
    assert not torch.equal(fresh.leaf.pcen.alpha, bundle.model.audio.leaf.pcen.alpha)
    judgements, _ = judged(result.causal, result.audio_stage, read_release(root, [2]), Conditions())
    assert len(judgements.truth) == 8
    with pytest.raises(UserError, match="not there"):
        read_release(root, [3])


def test_the_past_of_a_speaker_is_only_theirs_and_only_past():
    statistics = torch.tensor([[1.0], [5.0], [3.0], [2.0]])
    relative = with_past(statistics, ["a", "b", "a", "a"])[:, 1]
    assert relative.tolist() == pytest.approx([1.0, 5.0, 3.0 - 1 / 3, 2.0 - 4 / 4])


def test_an_unknown_statistic_is_the_mean(trained, folder):
    result, _ = trained
    dialogues = read_utterances(folder, [1])
    data = AcousticSet(dialogues, result.audio_stage.features)
    assert bool(data.raw().isnan().any())
    assert bool(data.statistics(result.audio_stage.acoustics).isfinite().all())


def test_a_linear_map_is_found():
    generator = torch.Generator().manual_seed(0)
    source = torch.randn(500, 5, generator=generator)
    turned = source @ torch.randn(5, 5, generator=generator) + 2
    assert torch.allclose(linear_map(source, turned)(source), turned, atol=0.2)


def test_recalibration_changes_no_label():
    from tools.evaluate.metrics import Judgements

    rng = np.random.default_rng(0)
    sure = rng.dirichlet((0.1,) * 4, 60)
    truth = rng.integers(0, 4, 60)
    judgements = Judgements(LABELS, truth, sure, ("d",) * 60)
    softer = recalibrated(judgements, judgements)
    assert (softer.predicted == judgements.predicted).all()
    assert softer.probabilities.max(1).mean() < sure.max(1).mean()

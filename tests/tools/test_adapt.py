"""The adaptation of a bundle to a few labelled clips."""

import numpy as np
import pytest
import soundfile
import torch

from streamer.errors import UserError
from streamer_models.bundle import Bundle
from streamer_models.heads.calibration import Calibration
from streamer_models.tokenizer import TextTokenizer
from tests.models.tiny_bundle import TEXT, make_bundle, tokenizer_definition
from tests.models.zoo.tiny import make_system
from tools.training.recipes import adapt as recipe
from tools.training.recipes.adapt import adapt, adaptations, embedded, labelled_files, stratified

HERTZ = {"angry": 1500.0, "sad": 300.0}


def recordings(folder, count=4):
    """Tones of two pitches, in a folder for each label."""
    rng = np.random.default_rng(0)
    for label, hertz in HERTZ.items():
        (folder / label).mkdir(parents=True)
        for take in range(count):
            time = np.arange(int(16_000 * rng.uniform(0.4, 0.8))) / 16_000
            wave = 0.3 * np.sin(2 * np.pi * hertz * time) + 0.01 * rng.standard_normal(len(time))
            soundfile.write(folder / label / f"{take}.wav", wave, 16_000)
    return folder


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """One rate, few steps."""
    monkeypatch.setattr(recipe, "RATES", (1e-2,))
    monkeypatch.setattr(recipe, "STEPS", (5, 20))


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    return recordings(tmp_path_factory.mktemp("clips"))


def bundle_of(name):
    model = make_system(name).requires_grad_(requires_grad=False)
    tokenizer = (
        None if model.text is None else TextTokenizer(tokenizer_definition(), TEXT.max_tokens)
    )
    return Bundle(name, "1", model, Calibration(), 0.3, tokenizer, "A card.")


@pytest.mark.parametrize("name", ["chopra2021", "krishna2021"])
def test_learns_the_labels_of_the_clips_and_leaves_the_base_alone(name, clips, tmp_path):
    base = bundle_of(name)
    weights = {key: tensor.clone() for key, tensor in base.model.state_dict().items()}
    heard = embedded(base, labelled_files(clips, base.labels))
    adapted, figures = adapt(base, heard)
    assert figures["after"] > max(0.9, figures["before"])
    assert figures["labels"] == {"angry": 4, "happy": 0, "sad": 4, "neutral": 0}
    for key, tensor in base.model.state_dict().items():
        assert torch.equal(tensor, weights[key])
    adapted.save(tmp_path / "b")
    said = [p.label for p in Bundle.load(tmp_path / "b").classifier()(heard.windows)]
    assert said == ["angry"] * 4 + ["sad"] * 4


def test_keeps_the_weights_where_the_clips_teach_nothing(clips):
    base = bundle_of("chopra2021")
    heard = embedded(base, labelled_files(clips, base.labels))
    perfect, _ = adapt(base, heard)
    again, figures = adapt(perfect, heard)
    assert figures["steps"] == 0
    assert again is perfect


def test_leaves_the_encoders_of_a_shipped_kind_of_bundle_as_they_are(clips):
    base = make_bundle()
    heard = embedded(base, labelled_files(clips, base.labels))
    before = base.model.state_dict()
    _, adapted = next(adaptations(base.model, heard, 1e-3))
    changed = {
        key.partition(".")[0]
        for key, tensor in adapted.state_dict().items()
        if not torch.equal(tensor, before[key])
    }
    assert changed
    assert not changed & {"audio", "text"}


def test_spreads_each_label_over_the_folds():
    labels = torch.tensor([0] * 8 + [2] * 4)
    folds = stratified(labels, 0)
    assert sorted(folds[:8]) == [0, 0, 1, 1, 2, 2, 3, 3]
    assert sorted(folds[8:]) == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("made", "complaint"),
    [
        ({"furious": 3, "sad": 3}, "not a label of the bundle"),
        ({"angry": 2, "sad": 3}, "2 recordings; 3 at least"),
        ({"sad": 3}, "two labels at least"),
        (None, "no such folder"),
    ],
)
def test_says_what_is_wrong_with_a_folder(tmp_path, made, complaint):
    folder = tmp_path / "clips"
    for label, count in (made or {}).items():
        (folder / label).mkdir(parents=True)
        for take in range(count):
            (folder / label / f"{take}.wav").touch()
    with pytest.raises(UserError, match=complaint):
        labelled_files(folder, ("angry", "happy", "sad", "neutral"))

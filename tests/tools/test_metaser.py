"""The comparison of beginnings for languages with few examples, on made-up corpora that share one rule."""

from dataclasses import replace

import pytest
import torch

from streamer_models.zoo.chopra2021 import Chopra2021, Chopra2021Config, adapt
from tools.training.recipes import metaser
from tools.training.recipes.metaser import MetaSettings, Study, choose_rates, compare
from tools.training.tasks.zoo_data import Part
from tools.training.tasks.zoo_languages import batch_of, language, lead

QUICK = MetaSettings(
    epochs=2,
    batch=16,
    learning_rate=3e-3,
    episodes=2,
    choice_episodes=2,
    tasks=2,
    draws=1,
)


def part(corpora, seed):
    """Eight clips of each class and corpus; the first coefficient tells the class."""
    generator = torch.Generator().manual_seed(seed)
    features, labels, names = [], [], []
    for corpus in corpora:
        for place in range(32):
            frames = torch.randn(6, 20, generator=generator)
            frames[:, 0] += 3 * (place % 4)
            features.append(frames.half())
            labels.append(place % 4)
            names.append(corpus)
    empty = [""] * len(names)
    return Part(features, torch.tensor(labels), names, names, empty)


def study(out, hidden=8):
    train, dev = part(("cremad", "emodb", "emovo"), 0), part(("emodb", "emovo"), 1)
    return Study(train, dev, Chopra2021Config(dropout=0.0, hidden=hidden), QUICK, out, seed=0)


def test_compares_three_ways_in_each_target_corpus(tmp_path):
    result, _ = compare(study(tmp_path, hidden=16), [2, 4])
    figures = result["ua"]
    assert list(figures) == ["emovo"]
    assert figures["emovo"]["n"] == 32
    for way in ("multitask", "transfer", "metaser"):
        assert list(figures["emovo"][way]) == ["2", "4"]
        assert all(0 <= ua <= 1 for ua in figures["emovo"][way].values())
    for rival in ("multitask", "transfer"):
        gain = figures["emovo"][f"over_{rival}"]["4"]
        ours, theirs = (figures["emovo"][way]["4"] for way in ("metaser", rival))
        assert abs(gain["value"] - (ours - theirs)) < 2e-4
        assert gain["low"] <= gain["value"] <= gain["high"]
    assert set(result["rates"]) == {"multitask", "transfer", "metaser"}


def test_rates_do_not_depend_on_the_targets(tmp_path):
    found = choose_rates(study(tmp_path / "a"))
    other = study(tmp_path / "b")
    for each in (other.train, other.dev):
        for place, corpus in enumerate(each.corpora):
            if corpus == "emovo":
                each.features[place].zero_()
    assert choose_rates(other) == found
    assert set(found[0]) == {"multitask", "transfer", "metaser"}


def test_an_interrupted_comparison_goes_on_with_the_rates_that_were_tried(tmp_path, monkeypatch):
    whole, network = compare(study(tmp_path / "whole"), [2])
    trained = []
    really = metaser._meta_train

    def stopped(*arguments):
        if len(trained) == 3:
            raise KeyboardInterrupt
        trained.append(arguments[3])
        really(*arguments)

    monkeypatch.setattr(metaser, "_meta_train", stopped)
    with pytest.raises(KeyboardInterrupt):
        compare(study(tmp_path / "cut"), [2])
    monkeypatch.setattr(metaser, "_meta_train", lambda *a: (trained.append(a[3]), really(*a)))
    again, same = compare(study(tmp_path / "cut"), [2])
    assert trained == [*metaser.RATES, whole["rates"]["metaser"]]
    assert again | {"cpu_minutes": 0} == whole | {"cpu_minutes": 0}
    for name, tensor in network.state_dict().items():
        assert torch.equal(same.state_dict()[name], tensor)


def test_a_lead_is_sure_where_every_draw_and_clip_says_so():
    target = language(part(("emovo",), 0), part(("emovo",), 1), "emovo")
    right = target.dev.labels[target.test].expand(3, -1)
    wrong = (right + 1) % 4
    assert lead(right, wrong, target, 0) == {"value": 1.0, "low": 1.0, "high": 1.0}
    assert lead(right, right, target, 0) == {"value": 0.0, "low": 0.0, "high": 0.0}
    half = torch.where(torch.arange(32) % 8 < 4, right, wrong)
    found = lead(right, half, target, 0)
    assert found["low"] < found["value"] < found["high"]


def test_corpus_without_development_speakers_is_reported_on_some_of_its_own():
    whole = replace(part(("eyase",), 0), groups=[f"speaker{place // 8}" for place in range(32)])
    found = language(whole, part(("emovo",), 1), "eyase")
    learnt = {whole.groups[i] for places in found.cells.values() for i in places}
    assert learnt == {"speaker0", "speaker2"}
    assert {whole.groups[i] for i in found.test} == {"speaker1", "speaker3"}


def test_transfer_leaves_the_lstm_as_it_is():
    torch.manual_seed(0)
    network = Chopra2021(Chopra2021Config(dropout=0.0))
    batch = part(("emovo",), 0)

    def loss(call):
        return torch.nn.functional.cross_entropy(
            call(batch_of(batch, range(8))).logits, batch.labels[:8]
        )

    adapted = adapt(network, loss, steps=2, rate=0.1, only=("dense.", "classifier."))
    for name, parameter in network.named_parameters():
        assert torch.equal(adapted[name], parameter) == name.startswith("lstm")

"""The comparison of beginnings for languages with few examples, on made-up corpora that share one rule."""

from dataclasses import replace

import torch

from streamer_models.zoo.chopra2021 import Chopra2021, Chopra2021Config, adapt
from tools.training.recipes.metaser import MetaSettings, choose_rates, compare
from tools.training.tasks.zoo_data import Part
from tools.training.tasks.zoo_languages import batch_of, language

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


def test_compares_three_ways_in_each_target_corpus(tmp_path):
    train, dev = part(("cremad", "emodb", "emovo"), 0), part(("emodb", "emovo"), 1)
    config = Chopra2021Config(dropout=0.0, hidden=16)
    result, _ = compare(train, dev, config, QUICK, [2, 4], tmp_path, seed=0)
    figures = result["ua"]
    assert list(figures) == ["emovo"]
    assert figures["emovo"]["n"] == 32
    for way in ("multitask", "transfer", "metaser"):
        assert list(figures["emovo"][way]) == ["2", "4"]
        assert all(0 <= ua <= 1 for ua in figures["emovo"][way].values())
    assert set(result["rates"]) == {"multitask", "transfer", "metaser"}


def test_rates_do_not_depend_on_the_targets(tmp_path):
    train, dev = part(("cremad", "emodb", "emovo"), 0), part(("emodb", "emovo"), 1)
    config = Chopra2021Config(dropout=0.0, hidden=8)
    found = choose_rates(train, dev, config, QUICK, tmp_path / "a", seed=0)
    for each in (train, dev):
        for place, corpus in enumerate(each.corpora):
            if corpus == "emovo":
                each.features[place].zero_()
    assert choose_rates(train, dev, config, QUICK, tmp_path / "b", seed=0) == found
    assert set(found[0]) == {"multitask", "transfer", "metaser"}


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

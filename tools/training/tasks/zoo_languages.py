"""Corpora as few-shot tasks: clips of each class to learn from, clips by other speakers to report."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor, nn

from streamer_models.contract import Scores
from streamer_models.sequences import Utterances
from streamer_models.zoo.base import Targets
from streamer_models.zoo.chopra2021 import Loss
from tools.training.tasks.zoo_data import Part

_RESAMPLES = 1000


@dataclass(frozen=True)
class Language:
    """What a network is adapted with, and reported on: by other speakers.

    Attributes:
        name: Of its corpus.
        train: Clips that `cells` are of.
        cells: Class -> places of clips to adapt with.
        dev: Clips that `test` are of.
        test: Places of clips to report.
    """

    name: str
    train: Part
    cells: dict[int, list[int]]
    dev: Part
    test: list[int]


def language(train: Part, dev: Part, name: str) -> Language:
    """Return a corpus; one without development speakers is reported on every other one of its speakers."""
    mine = [i for i, corpus in enumerate(train.corpora) if corpus == name]
    test = [i for i, corpus in enumerate(dev.corpora) if corpus == name]
    apart: set[str] = set()
    if not test:
        apart = set(sorted({train.groups[i] for i in mine})[1::2])
        dev, test = train, [i for i in mine if train.groups[i] in apart]
    cells = defaultdict(list)
    for i in mine:
        if train.groups[i] not in apart:
            cells[int(train.labels[i])].append(i)
    return Language(name, train, dict(cells), dev, test)


def loss_of(part: Part, places: Sequence[int]) -> Loss:
    """Return the mean cross-entropy of some clips, by a network that is given."""
    batch, labels = batch_of(part, places), part.labels[list(places)]

    def loss(call: Callable[..., object]) -> Tensor:
        scores = call(batch)
        assert isinstance(scores, Scores)  # noqa: S101 - the network's
        return nn.functional.cross_entropy(scores.logits, Targets(labels).labels)

    return loss


def batch_of(part: Part, places: Sequence[int]) -> Utterances:
    """Clips of a part, as a network takes them."""
    windows = [(part.audio(place),) for place in places]
    return Utterances.of(windows, (part.features[0].shape[1], 1, 1), None)


def cells_of(part: Part) -> dict[str, dict[int, list[int]]]:
    """Corpus -> class -> places."""
    cells: defaultdict[str, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, (corpus, label) in enumerate(zip(part.corpora, part.labels.tolist(), strict=True)):
        cells[corpus][label].append(place)
    return {corpus: dict(by_label) for corpus, by_label in cells.items()}


def draw(cells: dict[int, list[int]], count: int, rng: np.random.Generator) -> list[list[int]]:
    """So many places of each class, as far as there are."""
    return [rng.permutation(places)[:count].tolist() for _, places in sorted(cells.items())]


def mean_recall(predicted: Tensor, truth: Tensor) -> float:
    """Return the mean over the classes of the share that is found."""
    recalls = [float((predicted[truth == c] == c).float().mean()) for c in set(truth.tolist())]
    return float(np.mean(recalls))


def mean_recalls(predicted: Tensor, target: Language) -> float:
    """Return the mean of `mean_recall` over some draws of clips to adapt with [draws, n]."""
    truth = target.dev.labels[target.test]
    return round(float(np.mean([mean_recall(row, truth) for row in predicted])), 4)


def lead(ours: Tensor, theirs: Tensor, target: Language, seed: int) -> dict[str, float]:
    """Difference of two `mean_recalls`, with a 95 % interval over draws and, within each class, over clips.

    Clips, not speakers: most languages have two to four speakers to report.
    """
    truth = target.dev.labels[target.test].numpy()
    hits = [(each.numpy() == truth) for each in (ours, theirs)]
    gains = hits[0].astype(float) - hits[1]
    rng = np.random.default_rng((seed, 5))
    places = [np.flatnonzero(truth == c) for c in sorted(set(truth.tolist()))]

    def drawn() -> float:
        rows = gains[rng.integers(0, len(gains), len(gains))].mean(0)
        return float(np.mean([rows[rng.choice(at, len(at))].mean() for at in places]))

    value = float(np.mean([gains[:, at].mean() for at in places]))
    low, high = np.percentile([drawn() for _ in range(_RESAMPLES)], (2.5, 97.5)).tolist()
    return {"value": round(value, 4), "low": round(low, 4), "high": round(high, 4)}

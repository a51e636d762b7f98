"""`python -m tools.train metaser`: does a meta-learnt beginning help languages with few examples (Chopra et al., 2021)?

The network of `chopra2021` learns from source corpora, all together (multitask); then its beginning is meta-learnt by
first-order MAML, each corpus a task. In each target language, of which nothing was learnt, three ways begin from k
clips a class: the multitask network, the same with its LSTM frozen (transfer), and the meta-learnt one (MetaSER).
"""

import argparse
import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from streamer_models.contract import Scores
from streamer_models.sequences import Utterances
from streamer_models.zoo.base import Targets
from streamer_models.zoo.chopra2021 import Chopra2021, Chopra2021Config, Loss, adapt, outer_step
from tools.data.cache import DEFAULT_CACHE
from tools.evaluate.output import write_json
from tools.progress import progress
from tools.training.loop import fit
from tools.training.tasks.zoo_data import Amount, Part, mel_frames, speech_part

SOURCES = ("cremad", "ravdess", "tess", "savee", "emodb", "emospeech_in")
TARGETS = ("emovo", "urdu", "ased", "nemo", "baved", "turev")


@dataclass(frozen=True)
class MetaSettings:
    """Pace of both trainings, and of the adaptation.

    Attributes:
        epochs: Of the multitask training; with `batch`, `learning_rate` and `weight_decay`.
        episodes: Outer steps.
        tasks: Corpora in an episode.
        support: Clips a class in an inner step.
        query: Clips a class of the outer loss.
        meta_rate: Of the outer loop (Adam).
        task_rate: Of the inner loop and of the adaptation.
        steps: Of the adaptation; 1 in training.
        draws: Supports that are drawn in each language, whose mean is reported.
    """

    epochs: int = 8
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    episodes: int = 150
    tasks: int = 4
    support: int = 5
    query: int = 5
    meta_rate: float = 3e-4
    task_rate: float = 0.05
    steps: int = 5
    draws: int = 5


@dataclass(frozen=True)
class _Language:
    """What a target language is adapted with, by class, and reported on."""

    train: Part
    dev: Part
    cells: dict[int, list[int]]
    test: list[int]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--data", type=Path, required=True, help="folder with speech/")
    parser.add_argument("--out", type=Path, required=True, help="where unfinished work is kept")
    parser.add_argument("--shots", type=int, nargs="+", default=[5, 10, 25], help="clips a class")
    parser.add_argument("--clips", type=int, default=300, help="clips of a corpus at most")
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument(
        "--cache", type=Path, default=DEFAULT_CACHE, help="decoded clips (default %(default)s)"
    )
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")


def run(arguments: argparse.Namespace) -> None:
    """Train both beginnings and compare them."""
    torch.set_num_threads(arguments.threads)
    amount = Amount(arguments.clips, 0, arguments.seed)
    encoder = mel_frames(Chopra2021Config().audio.embedding, cepstra=True)  # type: ignore[union-attr]
    train, dev = (
        speech_part(arguments.data, arguments.cache, split, amount, encoder)
        for split in ("train", "dev")
    )
    result = compare(
        train, dev, MetaSettings(), arguments.shots, arguments.out, seed=arguments.seed
    )
    write_json(arguments.json, result)
    print(json.dumps(result, indent=2))


def compare(
    train: Part, dev: Part, settings: MetaSettings, shots: Sequence[int], out: Path, *, seed: int
) -> dict[str, Any]:
    """Unweighted accuracy in each target corpus, by way and number of clips.

    Args:
        train: Clips to learn from, and to adapt with.
        dev: Clips by other speakers, to report.
        settings: Pace.
        shots: Clips a class to adapt with.
        out: Where unfinished work is kept.
        seed: Of all that is random.
    """
    torch.manual_seed(seed)
    network = Chopra2021(Chopra2021Config(dropout=0.0))
    sources = [i for i, corpus in enumerate(train.corpora) if corpus in SOURCES]
    fit(
        network,
        sources,
        lambda places: _loss(train, places)(network),
        settings,
        kept=out / "unfinished.safetensors",
        identity={"settings": asdict(settings), "seed": seed},
        seed=seed,
        title="multitask",
    )
    meta = Chopra2021(network.config)
    meta.load_state_dict(network.state_dict())
    _meta_train(meta, train, settings, np.random.default_rng((seed, 3)))
    figures: dict[str, Any] = {}
    for target in TARGETS:
        test = [i for i, corpus in enumerate(dev.corpora) if corpus == target]
        if not test:
            continue
        ways: dict[str, tuple[Chopra2021, tuple[str, ...] | None]] = {
            "multitask": (network, None),
            "transfer": (network, ("dense.", "classifier.")),
            "metaser": (meta, None),
        }
        language = _Language(train, dev, _cells(train)[target], test)
        figures[target] = {"n": len(test)} | {
            name: {
                str(k): _adapted(way, language, k, settings, seed=seed, only=only) for k in shots
            }
            for name, (way, only) in ways.items()
        }
    return {"settings": asdict(settings), "seed": seed, "sources": SOURCES, "ua": figures}


def _meta_train(
    network: Chopra2021, train: Part, settings: MetaSettings, rng: np.random.Generator
) -> None:
    cells = _cells(train)
    corpora = [corpus for corpus in SOURCES if corpus in cells]
    optimizer = torch.optim.Adam(network.parameters(), settings.meta_rate)
    for _ in progress(range(settings.episodes), "Episodes"):
        tasks = []
        for corpus in rng.permutation(corpora)[: settings.tasks]:
            drawn = _draw(cells[str(corpus)], settings.support + settings.query, rng)
            support = [i for row in drawn for i in row[: settings.support]]
            query = [i for row in drawn for i in row[settings.support :]]
            tasks.append((_loss(train, support), _loss(train, query)))
        outer_step(network, tasks, optimizer, rate=settings.task_rate)


def _adapted(
    network: Chopra2021,
    language: _Language,
    k: int,
    settings: MetaSettings,
    *,
    seed: int,
    only: tuple[str, ...] | None,
) -> float:
    """Mean unweighted accuracy after adaptation with k clips a class, over some draws."""
    found = []
    for draw in range(settings.draws):
        rng = np.random.default_rng((seed, 4, draw))
        support = [i for row in _draw(language.cells, k, rng) for i in row]
        adapted = adapt(
            network,
            _loss(language.train, support),
            steps=settings.steps,
            rate=settings.task_rate,
            only=only,
        )
        with torch.no_grad():
            scores = functional_call(network, adapted, (_batch(language.dev, language.test),))
        truth = language.dev.labels[language.test]
        found.append(_ua(scores.logits.argmax(1), truth))
    return round(float(np.mean(found)), 4)


def _loss(part: Part, places: Sequence[int]) -> Loss:
    """The mean cross-entropy of some clips, by a network that is given."""
    batch, labels = _batch(part, places), part.labels[list(places)]

    def loss(call: Callable[..., object]) -> Tensor:
        scores = call(batch)
        assert isinstance(scores, Scores)  # noqa: S101 - the network's
        return nn.functional.cross_entropy(scores.logits, Targets(labels).labels)

    return loss


def _batch(part: Part, places: Sequence[int]) -> Utterances:
    windows = [(part.audio(place),) for place in places]
    return Utterances.of(windows, (part.features[0].shape[1], 1, 1), None)


def _cells(part: Part) -> dict[str, dict[int, list[int]]]:
    """Corpus -> class -> places."""
    cells: defaultdict[str, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, (corpus, label) in enumerate(zip(part.corpora, part.labels.tolist(), strict=True)):
        cells[corpus][label].append(place)
    return {corpus: dict(by_label) for corpus, by_label in cells.items()}


def _draw(cells: dict[int, list[int]], count: int, rng: np.random.Generator) -> list[list[int]]:
    """So many places of each class, as far as there are."""
    return [rng.permutation(places)[:count].tolist() for _, places in sorted(cells.items())]


def _ua(predicted: Tensor, truth: Tensor) -> float:
    recalls = [float((predicted[truth == c] == c).float().mean()) for c in set(truth.tolist())]
    return float(np.mean(recalls))

"""`python -m tools.train metaser`: does a meta-learnt beginning help languages with few examples (Chopra et al., 2021)?

The network of `chopra2021` learns from source corpora, all together (multitask); then its beginning is meta-learnt by
first-order MAML, each corpus a task. In each target language, of which nothing was learnt, three ways begin from k
clips a class: the multitask network, the same with its LSTM frozen (transfer), and the meta-learnt one (MetaSER). The
latter takes steps of the rate that it was made for, the others of the rate that is best on the sources' own development
speakers. The meta-learnt network is written as a bundle, for `python -m tools.train adapt`.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call

from streamer_models.bundle import Bundle
from streamer_models.contract import Scores
from streamer_models.heads.calibration import Calibration
from streamer_models.sequences import Utterances
from streamer_models.zoo.base import Targets
from streamer_models.zoo.chopra2021 import Chopra2021, Chopra2021Config, Loss, adapt, outer_step
from tools.data.cache import DEFAULT_CACHE
from tools.evaluate.output import load_bundle, write_json
from tools.progress import progress
from tools.training.loop import fit
from tools.training.tasks.zoo_data import Amount, Part, speech_part
from tools.training.tasks.zoo_encoders import AudioFrames, mel_frames, standardise, whisper_frames

SOURCES = ("cremad", "ravdess", "tess", "savee", "emodb", "emospeech_in")
TARGETS = ("emovo", "urdu", "ased", "nemo", "eyase", "turev")
RATES = (0.01, 0.03, 0.1, 0.3)
"""Of the steps of an adaptation, to choose from where the beginning was not made for one."""
_CHOICE_SHOTS = 10
"""Clips a class of the sources that a rate is chosen with."""


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
        task_rate: Of the inner loop, and of its steps in a new language.
        steps: Of the adaptation; 1 in training.
        draws: Supports that are drawn in each language, whose mean is reported.
    """

    epochs: int = 8
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    episodes: int = 300
    tasks: int = 4
    support: int = 5
    query: int = 5
    meta_rate: float = 3e-4
    task_rate: float = 0.05
    steps: int = 5
    draws: int = 5


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


@dataclass(frozen=True)
class _Way:
    """A beginning, and the names of the parameters that change; None: all."""

    network: Chopra2021
    only: tuple[str, ...] | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--data", type=Path, required=True, help="folder with speech/")
    parser.add_argument("--out", type=Path, required=True, help="where the bundle goes")
    parser.add_argument(
        "--shots", type=int, nargs="+", default=[5, 10, 25, 125], help="clips a class"
    )
    parser.add_argument(
        "--clips", type=int, default=600, help="clips of a corpus at most (default %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument(
        "--cache", type=Path, default=DEFAULT_CACHE, help="decoded clips (default %(default)s)"
    )
    parser.add_argument(
        "--backbones",
        help="bundle whose Whisper encoder makes the frames (default: cepstra, as in the paper)",
    )
    parser.add_argument("--json", type=Path, help="write the figures here, too")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")


def run(arguments: argparse.Namespace) -> None:
    """Train both beginnings and compare them."""
    torch.set_num_threads(arguments.threads)
    amount = Amount(arguments.clips, 0, arguments.seed)
    encoder: AudioFrames = mel_frames(20, cepstra=True)
    if arguments.backbones:
        encoder = whisper_frames(load_bundle(arguments.backbones))
    train, dev = (
        speech_part(arguments.data, arguments.cache, split, amount, encoder)
        for split in ("train", "dev")
    )
    standardise(encoder, train.features, dev.features)
    network = Chopra2021Config(dropout=0.0, audio=encoder.config)
    settings = MetaSettings()
    result, meta = compare(
        train, dev, network, settings, arguments.shots, arguments.out, seed=arguments.seed
    )
    meta.audio = encoder
    card = (
        f"# metaser\n\nA beginning for `tools.train adapt`.\n\n```json\n{json.dumps(result)}\n```\n"
    )
    licence = "Trained on research data: non-commercial use only"
    Bundle("metaser", "1", meta.eval(), Calibration(), 0.5, None, card, licence).save(arguments.out)
    write_json(arguments.json, result)
    print(json.dumps(result, indent=2))


def compare(
    train: Part,
    dev: Part,
    config: Chopra2021Config,
    settings: MetaSettings,
    shots: Sequence[int],
    out: Path,
    *,
    seed: int,
) -> tuple[dict[str, Any], Chopra2021]:
    """Unweighted accuracy in each target corpus, by way and number of clips; and the meta-learnt network.

    Args:
        train: Clips to learn from, and to adapt with.
        dev: Clips by other speakers, to report.
        config: Of the network.
        settings: Pace.
        shots: Clips a class to adapt with.
        out: Where unfinished work is kept.
        seed: Of all that is random.
    """
    watch = time.process_time()
    torch.manual_seed(seed)
    network = _new(config)
    sources = [i for i, corpus in enumerate(train.corpora) if corpus in SOURCES]
    fit(
        network,
        sources,
        lambda places: _loss(train, places)(network),
        settings,
        kept=out / "unfinished.safetensors",
        identity={"settings": asdict(settings), "seed": seed, "network": config.model_dump()},
        seed=seed,
        title="multitask",
    )
    meta = _new(config)
    meta.load_state_dict(network.state_dict())
    _meta_train(meta, train, settings, np.random.default_rng((seed, 3)))
    ways = {
        "multitask": _Way(network, None),
        "transfer": _Way(network, ("dense.", "classifier.")),
        "metaser": _Way(meta, None),
    }
    known = [language(train, dev, name) for name in SOURCES]
    rates = {"metaser": settings.task_rate}
    for name in ("multitask", "transfer"):
        rates[name] = _best_rate(ways[name], known, settings, seed)
    figures: dict[str, Any] = {}
    for target in (language(train, dev, name) for name in TARGETS):
        if not target.test or not target.cells:
            continue
        figures[target.name] = {
            "n": len(target.test),
            "least": min(map(len, target.cells.values())),
        }
        for name, way in ways.items():
            found = {str(k): _adapted(way, target, k, rates[name], settings, seed) for k in shots}
            figures[target.name][name] = found
    result = {
        "settings": asdict(settings),
        "seed": seed,
        "sources": SOURCES,
        "rates": rates,
        "cpu_minutes": round((time.process_time() - watch) / 60, 1),
        "ua": figures,
    }
    return result, meta


def language(train: Part, dev: Part, name: str) -> Language:
    """A corpus; one without development speakers is reported on every other one of its speakers."""
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


def _new(config: Chopra2021Config) -> Chopra2021:
    network = Chopra2021(config)
    network.audio = None
    return network


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


def _best_rate(way: _Way, known: Sequence[Language], settings: MetaSettings, seed: int) -> float:
    """The rate that gives the best mean over the sources."""
    usable = [each for each in known if each.test and each.cells]

    def mean(rate: float) -> float:
        found = [_adapted(way, each, _CHOICE_SHOTS, rate, settings, seed) for each in usable]
        return float(np.mean(found)) if found else 0.0

    return max(RATES, key=mean)


def _adapted(
    way: _Way, target: Language, k: int, rate: float, settings: MetaSettings, seed: int
) -> float:
    """Mean unweighted accuracy after adaptation with k clips a class, over some draws."""
    found = []
    batch, truth = batch_of(target.dev, target.test), target.dev.labels[target.test]
    for draw in range(settings.draws):
        rng = np.random.default_rng((seed, 4, draw))
        support = [i for row in _draw(target.cells, k, rng) for i in row]
        loss = _loss(target.train, support)
        adapted = adapt(way.network, loss, steps=settings.steps, rate=rate, only=way.only)
        with torch.no_grad():
            scores = functional_call(way.network, adapted, (batch,))
        found.append(mean_recall(scores.logits.argmax(1), truth))
    return round(float(np.mean(found)), 4)


def _loss(part: Part, places: Sequence[int]) -> Loss:
    """The mean cross-entropy of some clips, by a network that is given."""
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


def _cells(part: Part) -> dict[str, dict[int, list[int]]]:
    """Corpus -> class -> places."""
    cells: defaultdict[str, defaultdict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    for place, (corpus, label) in enumerate(zip(part.corpora, part.labels.tolist(), strict=True)):
        cells[corpus][label].append(place)
    return {corpus: dict(by_label) for corpus, by_label in cells.items()}


def _draw(cells: dict[int, list[int]], count: int, rng: np.random.Generator) -> list[list[int]]:
    """So many places of each class, as far as there are."""
    return [rng.permutation(places)[:count].tolist() for _, places in sorted(cells.items())]


def mean_recall(predicted: Tensor, truth: Tensor) -> float:
    """The mean over the classes of the share that is found."""
    recalls = [float((predicted[truth == c] == c).float().mean()) for c in set(truth.tolist())]
    return float(np.mean(recalls))

"""`python -m tools.train metaser`: does a meta-learnt beginning help languages with few examples (Chopra et al., 2021)?

The network of `chopra2021` learns from source corpora, all together (multitask); then its beginning is meta-learnt by
first-order MAML, each corpus a task. In each target language, of which nothing was learnt, three ways begin from k
clips a class: the multitask network, the same with its LSTM frozen (transfer), and the meta-learnt one (MetaSER). The
rate of each one's steps is chosen on sources alone: `HELD_OUT`, each left out of both trainings and adapted to as if it
were a target. The meta-learnt network is written as a bundle, for `python -m tools.train adapt`.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.func import functional_call

from streamer_models.bundle import Bundle
from streamer_models.heads.calibration import Calibration
from streamer_models.zoo.chopra2021 import Chopra2021, Chopra2021Config, adapt, outer_step
from tools.evaluate.output import load_bundle
from tools.progress import progress
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.loop import StagePace, fit
from tools.training.reporting import add_common_arguments, report
from tools.training.tasks.zoo_data import Amount, Part, speech_part
from tools.training.tasks.zoo_encoders import AudioFrames, mel_frames, standardise, whisper_frames
from tools.training.tasks.zoo_languages import (
    Language,
    batch_of,
    cells_of,
    draw,
    language,
    loss_of,
    mean_recall,
)

SOURCES = ("cremad", "ravdess", "tess", "savee", "emodb", "emospeech_in")
TARGETS = ("emovo", "urdu", "ased", "nemo", "eyase", "turev")
HELD_OUT = ("emodb", "emospeech_in")
"""Sources in languages of their own (German; English and Hindi of India), on which the rates are chosen."""
RATES = (0.01, 0.03, 0.1, 0.3)
"""Of the steps of an adaptation, to choose from."""
_CHOICE_SHOTS = (5, 25)
"""Clips a class that a rate is chosen with."""


@dataclass(frozen=True)
class MetaSettings(StagePace):
    """Pace of both trainings, and of the adaptation.

    Attributes:
        epochs: Of the multitask training; with `batch`, `learning_rate` and `weight_decay`.
        episodes: Outer steps.
        tasks: Corpora in an episode.
        support: Clips a class in an inner step.
        query: Clips a class of the outer loss.
        meta_rate: Of the outer loop (Adam).
        choice_episodes: Outer steps of each network that a rate is chosen with.
        steps: Of the adaptation; 1 in training.
        draws: Supports that are drawn in each language, whose mean is reported.
    """

    epochs: int = 8
    episodes: int = 300
    tasks: int = 4
    support: int = 5
    query: int = 5
    meta_rate: float = 3e-4
    choice_episodes: int = 100
    steps: int = 5
    draws: int = 5


@dataclass(frozen=True)
class _Way:
    """A beginning, and the names of the parameters that change; None: all."""

    network: Chopra2021
    only: tuple[str, ...] | None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument("--data", type=Path, required=True, help="folder with speech/")
    add_common_arguments(
        parser,
        out="where the bundle goes",
        backbones="bundle whose Whisper encoder makes the frames (default: cepstra, as in the paper)",
        default=None,
    )
    parser.add_argument(
        "--shots", type=int, nargs="+", default=[5, 10, 25, 125], help="clips a class"
    )
    parser.add_argument(
        "--clips", type=int, default=600, help="clips of a corpus at most (default %(default)s)"
    )


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
    report(arguments, result)


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
    rates, choice = choose_rates(train, dev, config, settings, out, seed=seed)
    ways = _ways(
        train, SOURCES, config, settings, out / "stages" / "multitask", rates["metaser"], seed
    )
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
        "choice": choice,
        "cpu_minutes": round((time.process_time() - watch) / 60, 1),
        "ua": figures,
    }
    return result, ways["metaser"].network


def choose_rates(
    train: Part,
    dev: Part,
    config: Chopra2021Config,
    settings: MetaSettings,
    out: Path,
    *,
    seed: int,
) -> tuple[dict[str, float], dict[str, Any]]:
    """The rate of each way, and what each gave: the mean over `HELD_OUT`, of which the network has learnt nothing."""
    quick = replace(settings, episodes=settings.choice_episodes)
    found: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for held in (language(train, dev, name) for name in HELD_OUT):
        if not held.test or not held.cells:
            continue
        sources = [name for name in SOURCES if name != held.name]
        for rate in RATES:
            kept = out / "stages" / f"multitask-without-{held.name}"
            for name, way in _ways(train, sources, config, quick, kept, rate, seed).items():
                found[name][rate] += [
                    _adapted(way, held, k, rate, settings, seed) for k in _CHOICE_SHOTS
                ]
    means = {
        name: {rate: round(float(np.mean(each)), 4) for rate, each in by_rate.items()}
        for name, by_rate in found.items()
    }
    return {name: max(by_rate, key=by_rate.__getitem__) for name, by_rate in means.items()}, means


def _ways(
    train: Part,
    sources: Sequence[str],
    config: Chopra2021Config,
    settings: MetaSettings,
    kept: Path,
    rate: float,
    seed: int,
) -> dict[str, _Way]:
    """The three beginnings after some sources; the multitask training is kept, and done once."""
    torch.manual_seed(seed)
    network = _new(config)
    identity = {"settings": asdict(settings), "seed": seed, "network": config.model_dump()}
    done = kept.with_suffix(".safetensors")
    if not _restored(network, done, identity):
        fit(
            network,
            [i for i, corpus in enumerate(train.corpora) if corpus in sources],
            lambda places: loss_of(train, places)(network),
            settings,
            kept=kept.with_suffix(".unfinished.safetensors"),
            identity=identity,
            seed=seed,
            title=kept.name,
        )
        save_checkpoint(done, network.state_dict(), {"identity": identity})
    meta = _new(config)
    meta.load_state_dict(network.state_dict())
    _meta_train(meta, train, sources, settings, rate, np.random.default_rng((seed, 3)))
    return {
        "multitask": _Way(network, None),
        "transfer": _Way(network, ("dense.", "classifier.")),
        "metaser": _Way(meta, None),
    }


def _restored(network: nn.Module, path: Path, identity: dict[str, Any]) -> bool:
    """Take up a finished training of the same identity."""
    if not path.is_file():
        return False
    tensors, described = load_checkpoint(path)
    if described["identity"] != json.loads(json.dumps(identity)):
        return False
    network.load_state_dict(tensors)
    return True


def _new(config: Chopra2021Config) -> Chopra2021:
    network = Chopra2021(config)
    network.audio = None
    return network


def _meta_train(
    network: Chopra2021,
    train: Part,
    sources: Sequence[str],
    settings: MetaSettings,
    rate: float,
    rng: np.random.Generator,
) -> None:
    cells = cells_of(train)
    corpora = [corpus for corpus in sources if corpus in cells]
    optimizer = torch.optim.Adam(network.parameters(), settings.meta_rate)
    for _ in progress(range(settings.episodes), "Episodes"):
        tasks = []
        for corpus in rng.permutation(corpora)[: settings.tasks]:
            drawn = draw(cells[str(corpus)], settings.support + settings.query, rng)
            support = [i for row in drawn for i in row[: settings.support]]
            query = [i for row in drawn for i in row[settings.support :]]
            tasks.append((loss_of(train, support), loss_of(train, query)))
        outer_step(network, tasks, optimizer, rate=rate)


def _adapted(
    way: _Way, target: Language, k: int, rate: float, settings: MetaSettings, seed: int
) -> float:
    """Mean unweighted accuracy after adaptation with k clips a class, over some draws."""
    found = []
    batch, truth = batch_of(target.dev, target.test), target.dev.labels[target.test]
    for number in range(settings.draws):
        rng = np.random.default_rng((seed, 4, number))
        support = [i for row in draw(target.cells, k, rng) for i in row]
        loss = loss_of(target.train, support)
        adapted = adapt(way.network, loss, steps=settings.steps, rate=rate, only=way.only)
        with torch.no_grad():
            scores = functional_call(way.network, adapted, (batch,))
        found.append(mean_recall(scores.logits.argmax(1), truth))
    return round(float(np.mean(found)), 4)

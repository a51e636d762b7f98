"""`python -m tools.train metaser`: does a meta-learnt beginning help languages with few examples (Chopra et al., 2021)?

The network of `chopra2021` learns from source corpora, all together (multitask); then its beginning is meta-learnt by
first-order MAML, each corpus a task. In each target language, of which nothing was learnt, three ways begin from k
clips a class: the multitask network, the same with its LSTM frozen (transfer), and the meta-learnt one (MetaSER). The
rate of each one's steps is chosen on sources alone: `HELD_OUT`, each left out of both trainings and adapted to as if it
were a target. The meta-learnt network is written as a bundle, for `python -m tools.train adapt`. Each network,
each rate that was tried and each target language is kept when it is finished; an interrupted run goes on from there.
"""

import argparse
import json
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.func import functional_call

from streamer_models.bundle import Bundle
from streamer_models.heads.calibration import Calibration
from streamer_models.zoo.chopra2021 import Chopra2021, Chopra2021Config, adapt, outer_step
from tools.evaluate.output import load_bundle
from tools.progress import progress
from tools.training.loop import StagePace, fit
from tools.training.reporting import add_common_arguments, report
from tools.training.resume import finished
from tools.training.tasks.zoo_data import Amount, Part, speech_part
from tools.training.tasks.zoo_encoders import AudioFrames, mel_frames, standardise, whisper_frames
from tools.training.tasks.zoo_languages import (
    Language,
    batch_of,
    cells_of,
    draw,
    language,
    lead,
    loss_of,
    mean_recalls,
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


@dataclass(frozen=True)
class Study:
    """What all parts of the comparison share.

    Attributes:
        train: Clips to learn from, and to adapt with.
        dev: Clips by other speakers, to report.
        config: Of the network.
        settings: Pace.
        out: Where finished and unfinished work is kept.
        seed: Of all that is random.
    """

    train: Part
    dev: Part
    config: Chopra2021Config
    settings: MetaSettings
    out: Path
    seed: int

    @property
    def identity(self) -> dict[str, Any]:
        """What the result of every part depends on."""
        return {
            "settings": asdict(self.settings),
            "seed": self.seed,
            "network": self.config.model_dump(),
            "clips": [len(self.train.labels), len(self.dev.labels)],
        }

    def kept(self, name: str) -> Path:
        """File of a part."""
        return self.out / "stages" / f"{name}.safetensors"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
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
    study = Study(train, dev, network, settings, arguments.out, arguments.seed)
    result, meta = compare(study, arguments.shots)
    meta.audio = encoder
    card = (
        f"# metaser\n\nA beginning for `tools.train adapt`.\n\n```json\n{json.dumps(result)}\n```\n"
    )
    licence = "Trained on research data: non-commercial use only"
    Bundle("metaser", "1", meta.eval(), Calibration(), 0.5, None, card, licence).save(arguments.out)
    report(arguments, result)


def compare(study: Study, shots: Sequence[int]) -> tuple[dict[str, Any], Chopra2021]:
    """Unweighted accuracy in each target corpus, by way and clips a class; and the meta-learnt network."""
    watch = time.process_time()
    rates, choice = choose_rates(study)
    ways = _ways(study, SOURCES, "multitask", "metaser", rates["metaser"], study.settings.episodes)
    figures: dict[str, Any] = {}
    for target in (language(study.train, study.dev, name) for name in TARGETS):
        if target.test and target.cells:
            figures[target.name] = _compared(study, ways, target, rates, shots)
    result = {
        "settings": asdict(study.settings),
        "seed": study.seed,
        "sources": SOURCES,
        "rates": rates,
        "choice": choice,
        "cpu_minutes": round((time.process_time() - watch) / 60, 1),
        "ua": figures,
    }
    return result, ways["metaser"].network


def choose_rates(study: Study) -> tuple[dict[str, float], dict[str, Any]]:
    """Choose the rate of each way by the mean over `HELD_OUT`, of which the network has learnt nothing."""
    found: dict[str, dict[float, list[float]]] = defaultdict(lambda: defaultdict(list))
    for held in (language(study.train, study.dev, name) for name in HELD_OUT):
        if not held.test or not held.cells:
            continue
        for rate in RATES:
            for name, said in _tried(study, held, rate).items():
                found[name][rate] += [mean_recalls(each, held) for each in said]
    means = {
        name: {rate: round(float(np.mean(each)), 4) for rate, each in by_rate.items()}
        for name, by_rate in found.items()
    }
    return {name: max(by_rate, key=by_rate.__getitem__) for name, by_rate in means.items()}, means


def _tried(study: Study, held: Language, rate: float) -> dict[str, Tensor]:
    """Return what each way says of a language that both trainings left out, after steps of a rate [shots, draws, n]."""

    def make() -> dict[str, Tensor]:
        without = f"without-{held.name}"
        ways = _ways(
            study,
            [name for name in SOURCES if name != held.name],
            f"multitask-{without}",
            f"metaser-{without}-{rate}",
            rate,
            study.settings.choice_episodes,
        )
        return {
            name: torch.stack([_said(study, way, held, k, rate) for k in _CHOICE_SHOTS])
            for name, way in ways.items()
        }

    return finished(study.kept(f"rate-{rate}-{held.name}"), study.identity, make)


def _compared(
    study: Study,
    ways: dict[str, _Way],
    target: Language,
    rates: dict[str, float],
    shots: Sequence[int],
) -> dict[str, Any]:
    """Figures of a target language, and by how much MetaSER leads the better of the others."""
    identity = {**study.identity, "rates": rates, "shots": list(shots)}

    def make() -> dict[str, Tensor]:
        return {
            name: torch.stack([_said(study, way, target, k, rates[name]) for k in shots])
            for name, way in ways.items()
        }

    said = finished(study.kept(f"target-{target.name}"), identity, make)
    figures: dict[str, Any] = {
        "n": len(target.test),
        "speakers": len({target.dev.groups[i] for i in target.test}),
        "least": min(map(len, target.cells.values())),
    }
    for name, by_shots in said.items():
        figures[name] = {
            str(k): mean_recalls(each, target) for k, each in zip(shots, by_shots, strict=True)
        }
    for rival in (name for name in said if name != "metaser"):
        figures[f"over_{rival}"] = {
            str(k): lead(ours, theirs, target, study.seed)
            for k, ours, theirs in zip(shots, said["metaser"], said[rival], strict=True)
        }
    return figures


def _ways(
    study: Study, sources: Sequence[str], first: str, second: str, rate: float, episodes: int
) -> dict[str, _Way]:
    """Return the three beginnings after some sources; both networks are kept by their names, and learn once."""
    network, meta = _new(study), _new(study)
    settings, identity = study.settings, {**study.identity, "sources": list(sources)}

    def learn() -> dict[str, Tensor]:
        fit(
            network,
            [i for i, corpus in enumerate(study.train.corpora) if corpus in sources],
            lambda places: loss_of(study.train, places)(network),
            settings,
            kept=study.kept(f"{first}.unfinished"),
            identity=identity,
            seed=study.seed,
            title=first,
        )
        return network.state_dict()

    network.load_state_dict(finished(study.kept(first), identity, learn))

    def meta_learn() -> dict[str, Tensor]:
        meta.load_state_dict(network.state_dict())
        _meta_train(meta, study, sources, rate, episodes)
        return meta.state_dict()

    identity = {**identity, "rate": rate, "episodes": episodes}
    meta.load_state_dict(finished(study.kept(second), identity, meta_learn))
    return {
        "multitask": _Way(network, None),
        "transfer": _Way(network, ("dense.", "classifier.")),
        "metaser": _Way(meta, None),
    }


def _new(study: Study) -> Chopra2021:
    torch.manual_seed(study.seed)
    network = Chopra2021(study.config)
    network.audio = None
    return network


def _meta_train(
    network: Chopra2021, study: Study, sources: Sequence[str], rate: float, episodes: int
) -> None:
    train, settings = study.train, study.settings
    rng = np.random.default_rng((study.seed, 3))
    cells = cells_of(train)
    corpora = [corpus for corpus in sources if corpus in cells]
    optimizer = torch.optim.Adam(network.parameters(), settings.meta_rate)
    for _ in progress(range(episodes), "Episodes"):
        tasks = []
        for corpus in rng.permutation(corpora)[: settings.tasks]:
            drawn = draw(cells[str(corpus)], settings.support + settings.query, rng)
            support = [i for row in drawn for i in row[: settings.support]]
            query = [i for row in drawn for i in row[settings.support :]]
            tasks.append((loss_of(train, support), loss_of(train, query)))
        outer_step(network, tasks, optimizer, rate=rate)


def _said(study: Study, way: _Way, target: Language, k: int, rate: float) -> Tensor:
    """Classes after adaptation with k clips a class, for each of some draws of them: int64 [draws, n]."""
    batch, found = batch_of(target.dev, target.test), []
    draws = study.settings.draws
    all_drawn = all(len(places) <= k for places in target.cells.values())
    for number in range(1 if all_drawn else draws):
        rng = np.random.default_rng((study.seed, 4, number))
        support = [i for row in draw(target.cells, k, rng) for i in row]
        loss = loss_of(target.train, support)
        steps = study.settings.steps
        adapted = adapt(way.network, loss, steps=steps, rate=rate, only=way.only)
        with torch.no_grad():
            found.append(functional_call(way.network, adapted, (batch,)).logits.argmax(1))
    return torch.stack(found).expand(draws, -1)

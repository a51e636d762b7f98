"""`python -m tools.train layers`: which layers should adapt, and to what (Triantafyllopoulos & Schuller, ICASSP 2021)?

The network of `chopra2021` first learns one of two tasks on source corpora, to tell emotions or to tell speakers, or
nothing. It is then fine-tuned to the emotions of other corpora on a few clips a class, with a part of its layers free,
on clips as they are, by telephone, or in noise: corruptions that the first task has not met. Two tables: unweighted
accuracy on other speakers, and how far each layer moved when all were free, relative to the size of its weights.
"""

import argparse
import time
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamer_models.zoo.chopra2021 import Chopra2021, Chopra2021Config
from tools.data.augmentation import add_noise, telephone
from tools.data.cache import DecodedClips, open_clips
from tools.data.manifest import NOISE
from tools.evaluate.output import load_bundle
from tools.training.loop import StagePace, fit
from tools.training.recipes.metaser import SOURCES
from tools.training.reporting import add_common_arguments, report
from tools.training.tasks.zoo_data import AS_RECORDED, Amount, Condition, Part, speech_part
from tools.training.tasks.zoo_encoders import AudioFrames, standardise, whisper_frames
from tools.training.tasks.zoo_languages import Language, batch_of, language, mean_recall

TARGETS = ("emovo", "turev")
TASKS = ("nothing", "speakers", "emotions")
FREE: Mapping[str, tuple[str, ...]] = {
    "classifier": ("classifier.",),
    "near the output": ("dense.", "classifier."),
    "near the input": (
        "lstm.weight_ih_l0",
        "lstm.weight_hh_l0",
        "lstm.bias_ih_l0",
        "lstm.bias_hh_l0",
    ),
    "all": ("",),
}
"""Which layers learn -> beginnings of the names of their parameters."""

LAYERS: Mapping[str, tuple[str, ...]] = {
    "LSTM 1": ("lstm.weight_ih_l0", "lstm.weight_hh_l0"),
    "LSTM 2": ("lstm.weight_ih_l1", "lstm.weight_hh_l1"),
    "dense": ("dense.weight",),
    "classifier": ("classifier.weight",),
}
"""From the input to the output."""

SNR_DB = 5.0


@dataclass(frozen=True)
class StudySettings(StagePace):
    """Pace of the first task, and of the fine-tuning.

    Attributes:
        epochs: Of the first task; with `batch`, `learning_rate` and `weight_decay`.
        shots: Clips a class to fine-tune with.
        steps: Of the fine-tuning.
        rate: Of its steps (Adam).
        clips: Clips of a corpus at most.
    """

    epochs: int = 6
    shots: int = 20
    steps: int = 20
    rate: float = 1e-3
    clips: int = 400


def conditions(speech: DecodedClips) -> list[Condition]:
    """Return clips as they are, by telephone, and in noise, which the number of a clip chooses."""
    noises = [i for i, clip in enumerate(speech.clips) if clip.corpus == NOISE]

    def in_noise(wave: NDArray[np.float32], number: int) -> NDArray[np.float32]:
        return add_noise(wave, speech.wave(noises[number % len(noises)]), SNR_DB)

    found = [AS_RECORDED, Condition("telephone", lambda wave, _: telephone(wave))]
    return [*found, Condition("noise", in_noise)] if noises else found


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--data", type=Path, required=True, help="folder with speech/")
    add_common_arguments(
        parser,
        out="where unfinished work is kept",
        backbones="bundle whose Whisper encoder makes the frames (default %(default)s)",
        default="streamer-en-2",
    )


def run(arguments: argparse.Namespace) -> None:
    """Do the study and print its tables."""
    torch.set_num_threads(arguments.threads)
    encoder = whisper_frames(load_bundle(arguments.backbones))
    result = study(
        arguments.data,
        arguments.cache,
        encoder,
        arguments.out,
        StudySettings(),
        seed=arguments.seed,
    )
    report(arguments, result)


def study(
    data: Path,
    cache: Path,
    encoder: AudioFrames,
    out: Path,
    settings: StudySettings,
    *,
    seed: int,
    targets: Sequence[str] = TARGETS,
    sources: Sequence[str] = SOURCES,
) -> dict[str, Any]:
    """Return unweighted accuracy by first task, condition and free layers, and the layers' movements.

    Args:
        data: Folder with speech/.
        cache: Where clips and frames are kept.
        encoder: Makes the frames.
        out: Where unfinished work is kept.
        settings: Pace.
        seed: Of all that is random.
        targets: Corpora to fine-tune to.
        sources: Corpora of the first task.
    """
    watch = time.process_time()
    amount = Amount(settings.clips, 0, seed)
    learnt = speech_part(data, cache, "train", amount, encoder, corpora=sources)
    heard = {
        each.name or "as recorded": [
            speech_part(data, cache, split, amount, encoder, corpora=targets, heard=each)
            for split in ("train", "dev")
        ]
        for each in conditions(open_clips(data / "speech", cache))
    }
    standardise(
        encoder, learnt.features, *(part.features for pair in heard.values() for part in pair)
    )
    accuracies: dict[str, dict[str, dict[str, float]]] = {}
    movements: dict[str, dict[str, dict[str, float]]] = {}
    for task in TASKS:
        network = _after_task(task, learnt, encoder, settings, out, seed)
        accuracies[task], movements[task] = {}, {}
        for name, (train, dev) in heard.items():
            cells = [language(train, dev, target) for target in targets]
            tuned = {
                free: [_tuned(network, cell, parts, settings, seed) for cell in cells]
                for free, parts in FREE.items()
            }
            accuracies[task][name] = {
                free: _mean([ua for ua, _ in each]) for free, each in tuned.items()
            }
            movements[task][name] = {
                layer: _mean([moved[layer] for _, moved in tuned["all"]]) for layer in LAYERS
            }
    return {
        "seed": seed,
        "settings": asdict(settings),
        "targets": list(targets),
        "n": len(next(iter(heard.values()))[1].labels),
        "cpu_minutes": round((time.process_time() - watch) / 60, 1),
        "ua": accuracies,
        "moved": movements,
    }


def _after_task(
    task: str, learnt: Part, encoder: AudioFrames, settings: StudySettings, out: Path, seed: int
) -> Chopra2021:
    """Return the network after its first task."""
    torch.manual_seed(seed)
    network = Chopra2021(Chopra2021Config(audio=encoder.config, dropout=0.0))
    network.audio = None
    if task == "nothing":
        return network
    people = sorted(set(learnt.groups))
    truth = learnt.labels
    head: nn.Module = network.classifier
    if task == "speakers":
        truth = torch.tensor([people.index(speaker) for speaker in learnt.groups])
        head = nn.Linear(network.config.hidden, len(people))
    both = nn.ModuleDict({"network": network, "head": head})

    def loss(places: list[int]) -> Tensor:
        return nn.functional.cross_entropy(
            head(network.fused(batch_of(learnt, places))), truth[places]
        )

    fit(
        both,
        range(len(truth)),
        loss,
        settings,
        kept=out / f"unfinished-{task}.safetensors",
        identity={"task": task, "settings": asdict(settings), "seed": seed},
        seed=seed,
        title=task,
    )
    return network


def _tuned(
    network: Chopra2021, target: Language, free: tuple[str, ...], settings: StudySettings, seed: int
) -> tuple[float, dict[str, float]]:
    """Return unweighted accuracy after fine-tuning, and how far each layer moved relative to its size."""
    tuned = deepcopy(network)
    learning = []
    for name, parameter in tuned.named_parameters():
        parameter.requires_grad_(name.startswith(free))
        learning += [parameter] if name.startswith(free) else []
    rng = np.random.default_rng((seed, 6))
    places = [
        place
        for _, cell in sorted(target.cells.items())
        for place in rng.permutation(cell)[: settings.shots].tolist()
    ]
    batch, truth = batch_of(target.train, places), target.train.labels[places]
    optimizer = torch.optim.Adam(learning, settings.rate)
    for _ in range(settings.steps):
        loss = nn.functional.cross_entropy(tuned(batch).logits, truth)
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    with torch.no_grad():
        said = tuned(batch_of(target.dev, target.test)).logits.argmax(dim=1)
    before, after = (dict(each.named_parameters()) for each in (network, tuned))
    moved = {
        layer: _mean(
            [
                float((after[n] - before[n]).detach().norm() / before[n].detach().norm())
                for n in names
            ]
        )
        for layer, names in LAYERS.items()
    }
    return mean_recall(said, target.dev.labels[target.test]), moved


def _mean(values: Sequence[float]) -> float:
    return round(float(np.mean(values)), 4)

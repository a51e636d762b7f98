"""`python -m tools.train adapt BUNDLE CLIPS`: a bundle for voices or a language of your own, from a few labelled clips.

CLIPS has a folder for each label (`angry/`, `happy/`, ...) with recordings in it. What the encoders make of the audio
stays as it is; what follows them takes some steps towards the clips. How large and how many steps, and whether any at
all, is chosen by cross-validation on the clips; its accuracy before and after is printed.
"""

import argparse
import json
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamer.errors import UserError
from streamer_models.bundle import Bundle, BundleError
from streamer_models.contract import UtteranceEmbedding
from streamer_models.heads.calibration import Calibration, fit_temperature
from streamer_models.sequences import Utterances
from streamer_models.zoo.base import UtteranceSystem
from tools.data.decoding import decode
from tools.evaluate.output import load_bundle, write_json
from tools.progress import progress

FOLDS = 4
LEAST = 3
"""Clips of each label, at least."""

RATES = (1e-3, 1e-2)
"""Of Adam, to choose from."""
STEPS = (5, 15, 40)
"""Numbers of steps to choose from."""

_MOST_CLIPS = 5_000
_ENCODERS = ("audio.", "text.")


@dataclass(frozen=True)
class Clips:
    """Embedded clips.

    Attributes:
        windows: One utterance each.
        labels: Places of their labels among the model's, int64 [n].
    """

    windows: list[tuple[UtteranceEmbedding]]
    labels: Tensor

    def select(self, keep: NDArray[np.bool_]) -> "Clips":
        """Return those for which `keep` [n] holds."""
        windows = [window for window, kept in zip(self.windows, keep, strict=True) if kept]
        return Clips(windows, self.labels[torch.from_numpy(keep)])


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("bundle", help="directory of a bundle, or the name of a shipped one")
    parser.add_argument(
        "clips", type=Path, help="folder with a folder of recordings for each label"
    )
    parser.add_argument("--out", type=Path, required=True, help="directory of the new bundle")
    parser.add_argument("--name", help="of the new bundle (default: the old one's, -adapted)")
    parser.add_argument("--seed", type=int, default=0, help="of the folds (default 0)")
    parser.add_argument("--json", type=Path, help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Adapt, print what it brings, and write the bundle."""
    base = load_bundle(arguments.bundle)
    clips = embedded(base, labelled_files(arguments.clips, base.labels))
    adapted, figures = adapt(base, clips, seed=arguments.seed)
    name = arguments.name or f"{base.name}-adapted"
    card = f"{base.card}\n\n## Adapted\n\n```json\n{json.dumps(figures, indent=2)}\n```\n"
    try:
        replace(adapted, name=name, card=card).save(arguments.out)
    except (BundleError, OSError) as error:
        raise UserError(f"{arguments.out}: {error}") from error
    write_json(arguments.json, figures)
    print(
        f"{arguments.out}: {figures['clips']} clips, mean recall {figures['before']:.2f} -> "
        f"{figures['after']:.2f} (cross-validation over the clips; {figures['steps']} steps)"
    )
    if not figures["steps"]:
        print("The clips are too few or too different to help: the weights are those of before.")


def labelled_files(folder: Path, labels: Sequence[str]) -> list[tuple[Path, int]]:
    """Return the recordings of each label's folder, with the place of the label.

    Raises:
        UserError: No such folder, a folder of another name, or too few recordings.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: no such folder")
    inside = sorted(path for path in folder.iterdir() if path.is_dir())
    for path in inside:
        if path.name not in labels:
            raise UserError(f"{path}: not a label of the bundle; its labels: {', '.join(labels)}")
    files = [
        (file, labels.index(path.name))
        for path in inside
        for file in sorted(path.iterdir())
        if file.is_file() and not file.name.startswith(".")
    ]
    for path in inside:
        count = sum(labels[label] == path.name for _, label in files)
        if count < LEAST:
            raise UserError(f"{path}: {count} recordings; {LEAST} at least")
    if len(inside) < 2:
        raise UserError(f"{folder}: needs folders of two labels at least: {', '.join(labels)}")
    if len(files) > _MOST_CLIPS:
        raise UserError(f"{folder}: {len(files)} recordings; {_MOST_CLIPS} at most")
    return files


def embedded(bundle: Bundle, files: Iterable[tuple[Path, int]]) -> Clips:
    """Return what the bundle's audio encoder makes of recordings.

    Raises:
        UserError: The bundle has no audio encoder, or a recording cannot be read.
    """
    streams = bundle.audio_streams()
    if streams is None:
        raise UserError(f"bundle {bundle.name}: takes no audio, so clips cannot adapt it")
    windows, labels = [], []
    for path, label in progress(list(files), "Embedding"):
        stream = streams()
        stream.push(decode(path))
        windows.append((UtteranceEmbedding(0, audio=stream.embedding().clone()),))
        labels.append(label)
    return Clips(windows, torch.tensor(labels))


def adapt(base: Bundle, clips: Clips, *, seed: int = 0) -> tuple[Bundle, dict[str, Any]]:
    """Adapt a bundle's model to clips, if cross-validation says that it helps; and its figures.

    Args:
        base: Stays as it is.
        clips: Embedded by its audio encoder.
        seed: Of the folds.
    """
    folds = stratified(clips.labels, seed)
    before = scores(base.model, clips)
    found = {
        (rate, steps): logits
        for rate in RATES
        for steps, logits in held_out_scores(base.model, clips, folds, rate).items()
    }
    recall = {choice: mean_recall(logits, clips.labels) for choice, logits in found.items()}
    best = max(recall, key=lambda choice: recall[choice])
    figures = {
        "clips": len(clips.labels),
        "labels": {
            name: int((clips.labels == place).sum()) for place, name in enumerate(base.labels)
        },
        "before": round(mean_recall(before, clips.labels), 4),
        "after": round(recall[best], 4),
        "rate": best[0],
        "steps": best[1],
        "seed": seed,
    }
    if recall[best] <= mean_recall(before, clips.labels):
        return base, {**figures, "after": figures["before"], "rate": 0.0, "steps": 0}
    scaling = base.calibration["audio"]
    temperature = fit_temperature(found[best], clips.labels)
    changed = {"audio": scaling.model_copy(update={"temperature": temperature, "bias": ()})}
    calibration = Calibration.model_validate({**base.calibration.root, **changed})
    rate, steps = best
    model = next(copy for made, copy in adaptations(base.model, clips, rate) if made == steps)
    model = model.eval().requires_grad_(requires_grad=False)
    return replace(base, model=model, calibration=calibration), figures


def held_out_scores(
    model: Any, clips: Clips, folds: NDArray[np.int64], rate: float
) -> dict[int, Tensor]:
    """Return logits [n, classes] of each clip by a model that is adapted without its fold, by number of steps."""
    logits = {steps: scores(model, clips) for steps in STEPS}
    for fold in sorted(set(folds.tolist())):
        held = folds == fold
        for steps, apart in adaptations(model, clips.select(~held), rate):
            logits[steps][torch.from_numpy(held)] = scores(apart, clips.select(held))
    return logits


def adaptations(model: Any, clips: Clips, rate: float) -> Iterator[tuple[int, Any]]:
    """Yield a copy of a model, its encoders shared, while it takes steps on all clips, each label weighing alike.

    Yields:
        The number of steps, for each of `STEPS`, and the copy, which then goes on.
    """
    encoders = {id(part): part for name, part in model.named_children() if f"{name}." in _ENCODERS}
    copy = deepcopy(model, dict(encoders))
    learning = [
        parameter.requires_grad_(requires_grad=True)
        for name, parameter in copy.named_parameters()
        if not name.startswith(_ENCODERS)
    ]
    counts = torch.bincount(clips.labels, minlength=int(clips.labels.max()) + 1)
    weights = 1.0 / counts[clips.labels]
    optimizer = torch.optim.Adam(learning, rate)
    for step in range(1, max(STEPS) + 1):
        losses = nn.functional.cross_entropy(_logits(copy, clips), clips.labels, reduction="none")
        optimizer.zero_grad()
        torch.autograd.backward((losses * weights).sum() / weights.sum())
        optimizer.step()
        if step in STEPS:
            yield step, copy


@torch.no_grad()
def scores(model: Any, clips: Clips) -> Tensor:
    """Return logits [n, classes]."""
    return _logits(model, clips)


def mean_recall(logits: Tensor, labels: Tensor) -> float:
    """Return the mean over the labels of the share of their clips that are found."""
    said = logits.argmax(dim=1)
    return float(np.mean([(said[labels == c] == c).float().mean() for c in set(labels.tolist())]))


def stratified(labels: Tensor, seed: int) -> NDArray[np.int64]:
    """Return a fold for each clip, [n]: those of each label spread over all."""
    rng = np.random.default_rng(seed)
    folds = np.zeros(len(labels), np.int64)
    for label in sorted(set(labels.tolist())):
        places = rng.permutation(np.flatnonzero(labels.numpy() == label))
        folds[places] = np.arange(len(places)) % FOLDS
    return folds


def _logits(model: Any, clips: Clips) -> Tensor:
    logits: Tensor
    if isinstance(model, UtteranceSystem):
        batch = Utterances.of(clips.windows, model.config.sizes, model.device)
        logits = model(batch).logits
    else:
        logits = model.classify(clips.windows).logits
    return logits

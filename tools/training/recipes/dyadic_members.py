"""Contexts and fusions over the embeddings of dialogues in sessions: several from different seeds, to be averaged.

Others are trained without each session and judge it: on what they say temperatures and the threshold are fitted, and
what they say of a turn can be part of what it teaches (distillation; Hinton et al., 2015), also where the turn has none
of the labels.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import torch
from torch import Tensor

from streamer_models.heads.calibration import Calibration, modalities_of
from streamer_models.zoo.dutta2022 import Dutta2022, Dutta2022Config
from tools.data.iemocap import LABELS
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.parallel import Part, do_parts
from tools.training.recipes.dyadic_encoders import Dialogues, Embeddings
from tools.training.recipes.dyadic_settings import DyadicSettings
from tools.training.tasks.dialogues import LabelledDialogue, one_hot, train_contexts, train_fusion

_HELD_OUT = {"both": (True, True), "audio": (True, False), "text": (False, True)}
"""Which modalities those who judge a session left out are given: sound, words."""
_REJECTED = 0.25
"""The share of utterances whose confidence is to be under the threshold."""
_SEEDS_APART = 1000

_Kind: TypeAlias = tuple[str, int | None, int]
"""Name, session left out, number of the seed."""


@dataclass(frozen=True)
class MemberTraining:
    """How contexts and fusions are trained, and on what.

    Attributes:
        config: Sizes and form of the model.
        settings: All else.
        seed: Of the first member.
        dialogues: To learn from.
        embeddings: Their embeddings, as if no encoder had seen them.
        identity: What the results depend on, as JSON holds it.
        folder: Where the results go.
    """

    config: Dutta2022Config
    settings: DyadicSettings
    seed: int
    dialogues: Dialogues
    embeddings: Path
    identity: dict[str, Any]
    folder: Path


@dataclass(frozen=True)
class Members:
    """What was trained.

    Attributes:
        weights: Of the contexts and the fusion of each member.
        calibration: Fitted on sessions left out.
        threshold: Likewise.
    """

    weights: list[dict[str, Tensor]]
    calibration: Calibration
    threshold: float


def train_members(training: MemberTraining, *, workers: int) -> Members:
    """Train all; what the folder holds of the same training is taken instead."""
    left_out = _left_out(training)
    judges: list[_Kind] = [(f"judge-of-{n}", n, 0) for n in left_out]
    members: list[_Kind] = [(f"member-{i}", None, i) for i in range(training.settings.members)]
    form = training.folder.name
    # Only what learns from the judges has to wait for them.
    rounds = [judges, members] if training.settings.taught else [members + judges]
    for several in rounds:
        parts = [
            Part(f"{form}-{name}", _train, (training, name, without, number))
            for name, without, number in several
        ]
        do_parts("Contexts and fusion", parts, training.folder.parent / "logs", workers=workers)
    weights = [load_checkpoint(_file(training, name))[0] for name, _, _ in members]
    if not left_out:
        return Members(weights, training.settings.calibration, training.settings.threshold)
    return Members(weights, *_calibrated(training))


def labelled_dialogues(
    dialogues: Dialogues, embeddings: Embeddings, taught: Tensor | None = None, share: float = 0.0
) -> list[LabelledDialogue]:
    """Return dialogues as the contexts and the fusion learn from them.

    Args:
        dialogues: N utterances together.
        embeddings: Of them.
        taught: What others say of each, probabilities [N, classes]; None: turns without one of `LABELS` are
            context only.
        share: Weight of `taught` where there is a label.
    """
    labelled = []
    start = 0
    for dialogue in dialogues:
        part = slice(start, start + len(dialogue))
        start += len(dialogue)
        people = sorted({utterance.speaker for utterance in dialogue})
        labels = torch.tensor([LABELS.index(u.emotion4) if u.emotion4 else -1 for u in dialogue])
        targets = one_hot(labels, len(LABELS))
        if taught is not None:
            mixed = (1 - share) * targets + share * taught[part]
            targets = torch.where((labels >= 0)[:, None], mixed, taught[part])
        labelled.append(
            LabelledDialogue(
                audio=embeddings.audio[None, part],
                text=embeddings.text[:, part],
                has_audio=embeddings.has_audio[part],
                has_text=embeddings.has_text[part],
                speaker=torch.tensor([people.index(utterance.speaker) for utterance in dialogue]),
                targets=targets,
            )
        )
    return labelled


def _train(training: MemberTraining, name: str, without: int | None, number: int) -> None:
    """Train one; judge the session that it was trained without, too."""
    path = _file(training, name)
    if path.is_file() and load_checkpoint(path)[1].get("identity") == training.identity:
        return
    settings, dialogues = training.settings, training.dialogues
    taught = (
        _taught(training) if settings.taught and without is None and _left_out(training) else None
    )
    embeddings = load_embeddings(training.embeddings)
    every = labelled_dialogues(dialogues, embeddings, taught, settings.taught)
    sessions = [dialogue[0].session for dialogue in dialogues]
    learned = [d for d, session in zip(every, sessions, strict=True) if session != without]
    seed = training.seed * _SEEDS_APART + number
    torch.manual_seed(seed)
    model = Dutta2022(training.config)
    train_contexts(model, learned, settings.context_stage, seed=seed)
    train_fusion(model, learned, settings.fusion_stage, seed=seed)
    model.eval()
    tensors = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if not name.startswith(("audio.", "text."))
    }
    if without is not None:
        held = [d for d, session in zip(every, sessions, strict=True) if session == without]
        for title, given in _HELD_OUT.items():
            tensors[f"judged.{title}"] = _judged(model, held, *given)
    save_checkpoint(path, tensors, {"identity": training.identity})


@torch.inference_mode()
def _judged(
    model: Dutta2022, dialogues: Sequence[LabelledDialogue], sound: bool, words: bool
) -> Tensor:
    """Return logits [N, classes]."""
    said = []
    for labelled in dialogues:
        plain = labelled.plain()
        given = replace(plain, has_audio=plain.has_audio & sound, has_text=plain.has_text & words)
        said.append(model.dialogue(given))
    return torch.cat(said)


def _left_out(training: MemberTraining) -> list[int]:
    """Return the sessions, if there are several."""
    sessions = sorted({dialogue[0].session for dialogue in training.dialogues})
    return sessions if len(sessions) > 1 else []


def _said(training: MemberTraining, title: str) -> Tensor:
    """Return logits [N, classes] of all utterances, each by one that has not learned from its session."""
    sessions = torch.tensor([u.session for d in training.dialogues for u in d])
    logits = torch.zeros(len(sessions), len(LABELS))
    for number in _left_out(training):
        tensors, _ = load_checkpoint(_file(training, f"judge-of-{number}"))
        logits[sessions == number] = tensors[f"judged.{title}"]
    return logits


def _calibrated(training: MemberTraining) -> tuple[Calibration, float]:
    """Return temperatures, and the confidence under which the least confident quarter is."""
    every = [utterance for dialogue in training.dialogues for utterance in dialogue]
    labels = torch.tensor([LABELS.index(u.emotion4) if u.emotion4 else -1 for u in every])
    usable = labels >= 0
    logits, truth, modalities = [], [], []
    for title, (sound, words) in _HELD_OUT.items():
        logits.append(_said(training, title)[usable])
        truth.append(labels[usable])
        modalities.append(torch.tensor([[sound, words]]).expand(int(usable.sum()), 2))
    has = torch.cat(modalities)
    calibration = Calibration.fit(torch.cat(logits), torch.cat(truth), has[:, 0], has[:, 1])
    whole = torch.ones(len(logits[0]), dtype=torch.bool)
    both = modalities_of(whole, whole)
    confidence = calibration.probabilities(logits[0], both).max(1).values
    return calibration, float(torch.quantile(confidence, _REJECTED))


def _taught(training: MemberTraining) -> Tensor:
    """Return probabilities [N, classes] of all utterances by those that have not learned from their session."""
    calibration, _ = _calibrated(training)
    return (_said(training, "both") / calibration["audio+text"].temperature).softmax(-1)


def _file(training: MemberTraining, name: str) -> Path:
    return training.folder / f"{name}.safetensors"


def save_embeddings(path: Path, embeddings: Embeddings) -> None:
    """Write embeddings where parts of a training can read them."""
    save_checkpoint(path, vars(embeddings), {})


def load_embeddings(path: Path) -> Embeddings:
    """Read what `save_embeddings` wrote."""
    return Embeddings(**load_checkpoint(path)[0])

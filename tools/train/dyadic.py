"""The stages of Dutta & Ganapathy (ICASSP 2022) on a corpus of dialogues in sessions: from encoders to bundles."""

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from models.bundle import Bundle
from models.calibration import Calibration
from models.context import ContextConfig
from models.conversation import ConversationConfig, ConversationModel
from models.fusion import FusionConfig
from tools.data.iemocap import LABELS
from tools.train.checkpoint import load_checkpoint, save_checkpoint
from tools.train.dialogues import (
    LabelledDialogue,
    StageSettings,
    one_hot,
    train_contexts,
    train_fusion,
)
from tools.train.provenance import git_commit
from tools.train.text import TextSettings
from tools.train.unseen import (
    AudioStage,
    Dialogues,
    Ear,
    Embeddings,
    Encoders,
    train_encoders,
    unseen_embeddings,
)

WHOLE = "whole"
"""The folder within a bundle's that holds its twin, which judges whole conversations and is not told who speaks."""

_STAGES = "stages"


@dataclass(frozen=True)
class DyadicSettings:
    """All that could be chosen otherwise, the audio stage apart; docs/research.md tells what was tried.

    Attributes:
        window: Utterances in a causal window.
        unlabelled: How often an utterance without one of the labels is drawn in the text stage, to one with.
        noise: Word error rates of the versions of each text that the contexts learn from.
        calibration: Temperatures, found on a session left out.
        threshold: Confidence under which the bundle abstains: about the least confident quarter.
    """

    window: int = 16
    unlabelled: float = 0.5
    noise: tuple[float, ...] = (0.0, 0.0, 0.3)
    text: TextSettings = field(default_factory=lambda: TextSettings(epochs=3, utterances=None))
    context: ContextConfig = field(default_factory=lambda: ContextConfig(dropout=0.3))
    fusion: FusionConfig = field(default_factory=FusionConfig)
    context_stage: StageSettings = field(default_factory=lambda: StageSettings(epochs=10))
    fusion_stage: StageSettings = field(
        default_factory=lambda: StageSettings(epochs=6, learning_rate=5e-4)
    )
    calibration: Calibration = field(
        default_factory=lambda: Calibration(both=0.82, audio=0.57, text=0.84)
    )
    threshold: float = 0.75

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        networks = {name: getattr(self, name) for name in ("context", "fusion", "calibration")}
        stages = {name: getattr(self, name) for name in ("text", "context_stage", "fusion_stage")}
        plain: dict[str, Any] = json.loads(
            json.dumps(
                vars(self)
                | {name: network.model_dump() for name, network in networks.items()}
                | {name: asdict(stage) for name, stage in stages.items()}
            )
        )
        return plain


@dataclass(frozen=True)
class Trained:
    """What a training gives."""

    bundle: Bundle
    """Causal, and told who speaks."""
    whole: Bundle
    """The paper's own form."""
    ear: Ear


def train_dyadic(
    dialogues: Dialogues,
    audio: AudioStage,
    out: Path,
    *,
    name: str,
    seed: int = 0,
    settings: DyadicSettings | None = None,
) -> Trained:
    """Trains all stages and writes the bundle to `out`; finished stages that `out` holds are taken as they are.

    Args:
        dialogues: To learn from.
        audio: How the audio stage is trained.
        out: Where the bundle goes, and its twin to `WHOLE` within.
        name: Of the bundle.
        seed: Equal seeds give equal results on one machine with one number of threads.
        settings: All that could be chosen otherwise.

    Raises:
        UserError: `out` holds stages of another training, or a damaged one.
    """
    settings = settings or DyadicSettings()
    stages = out / _STAGES
    encoders = train_encoders(
        dialogues,
        audio,
        stages,
        seed=seed,
        settings=settings.text,
        unlabelled=settings.unlabelled,
    )
    identity = _identity(dialogues, audio, settings, seed)
    learned: list[LabelledDialogue] = []
    bundles = []
    for form, window in (("causal", settings.window), (WHOLE, None)):
        model = _new_model(encoders, settings, window, seed)
        state = stages / f"{form}.safetensors"
        if not _restored(model, state, identity):
            learned = learned or _labelled(dialogues, encoders, settings, seed)
            train_contexts(model, learned, settings.context_stage, seed=seed)
            train_fusion(model, learned, settings.fusion_stage, seed=seed)
            save_checkpoint(state, model.state_dict(), {"identity": identity})
        bundle = Bundle(
            name=name if window else f"{name}-{form}",
            version="1",
            model=model.eval(),
            calibration=settings.calibration,
            threshold=settings.threshold,
            tokenizer=encoders.tokenizer,
            card=_card(name, form, dialogues, seed),
        )
        directory = out if window else out / form
        bundle.save(directory)
        encoders.ear.save(directory)
        bundles.append(Bundle.load(directory))  # as it will be used: weights rounded
    return Trained(bundles[0], bundles[1], encoders.ear)


def _new_model(
    encoders: Encoders, settings: DyadicSettings, window: int | None, seed: int
) -> ConversationModel:
    """A model with trained encoders; told who speaks if it has a window."""
    hearing, reading = encoders.ear.encoder, encoders.text
    torch.manual_seed(seed)
    model = ConversationModel(
        ConversationConfig(
            labels=LABELS,
            audio=hearing.config if hearing is not None else None,
            text=reading.config,
            embedding=reading.config.embedding,
            context=settings.context,
            fusion=settings.fusion,
            window=window,
            speaker=window is not None,
        )
    )
    for part, trained in ((model.audio, hearing), (model.text, reading)):
        if part is not None and trained is not None:
            part.load_state_dict(trained.state_dict())
    return model


def _labelled(
    dialogues: Dialogues, encoders: Encoders, settings: DyadicSettings, seed: int
) -> list[LabelledDialogue]:
    embeddings = unseen_embeddings(dialogues, encoders, settings.noise, seed=seed)
    return labelled_dialogues(dialogues, embeddings)


def labelled_dialogues(dialogues: Dialogues, embeddings: Embeddings) -> list[LabelledDialogue]:
    """Dialogues as the contexts and the fusion learn from them; turns without one of `LABELS` are context only."""
    labelled = []
    start = 0
    for dialogue in dialogues:
        part = slice(start, start + len(dialogue))
        start += len(dialogue)
        people = sorted({utterance.speaker for utterance in dialogue})
        labels = [LABELS.index(u.emotion4) if u.emotion4 else -1 for u in dialogue]
        labelled.append(
            LabelledDialogue(
                audio=embeddings.audio[None, part],
                text=embeddings.text[:, part],
                has_audio=embeddings.has_audio[part],
                has_text=embeddings.has_text[part],
                speaker=torch.tensor([people.index(utterance.speaker) for utterance in dialogue]),
                targets=one_hot(torch.tensor(labels), len(LABELS)),
            )
        )
    return labelled


def _identity(
    dialogues: Dialogues, audio: AudioStage, settings: DyadicSettings, seed: int
) -> dict[str, Any]:
    """What the contexts and the fusion depend on."""
    said = json.dumps([[asdict(utterance) for utterance in d] for d in dialogues])
    return {
        "seed": seed,
        "settings": settings.as_dict(),
        "audio": audio.settings(),
        "dialogues": hashlib.sha256(said.encode()).hexdigest(),
    }


def _restored(model: ConversationModel, path: Path, identity: dict[str, Any]) -> bool:
    """Whether the model could be taken from a file; one of another training is not."""
    if not path.is_file():
        return False
    tensors, description = load_checkpoint(path)
    if description.get("identity") != identity:
        return False
    model.load_state_dict(tensors)
    return True


def _card(name: str, form: str, dialogues: Dialogues, seed: int) -> str:
    sessions = sorted({dialogue[0].session for dialogue in dialogues})
    utterances = sum(map(len, dialogues))
    return (
        f"# {name} ({form})\n\n"
        f"A research model: {', '.join(LABELS)} in dialogues of two people. Trained on sessions {sessions} of\n"
        f"IEMOCAP ({len(dialogues)} dialogues, {utterances} utterances), whose licence is an agreement for research:\n"
        f"neither this model nor its figures may be used for anything else, and it must not be passed on.\n\n"
        f"Acted by ten people in American English; half of the dialogues are scripted plays.\n\n"
        f"Seed {seed}; code {git_commit() or 'unknown'}.\n"
    )

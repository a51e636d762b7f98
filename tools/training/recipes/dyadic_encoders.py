"""Encoders of a corpus in sessions, and its embeddings as if no encoder had seen it.

Each session's embeddings come from encoders which were trained without it (see tools/training/folds.py).
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from streamer_models.encoders.bert_gru import BertGru
from streamer_models.encoders.leaf_cnn import LeafCnn
from streamer_models.tokenizer import TextTokenizer
from tools.data.iemocap import LABELS, Utterance
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.folds import ANCHOR_STEP, FoldEmbeddings, out_of_fold
from tools.training.parallel import Part, do_parts
from tools.training.tasks.text import (
    LabelledTexts,
    TextSettings,
    embed_texts,
    load_text_stage,
    train_text,
)
from tools.training.tasks.text_noise import RecogniserNoise

Dialogues: TypeAlias = Sequence[Sequence[Utterance]]

CLASSES = (*LABELS, "frustrated", "other")
"""What the encoders' own classifiers tell apart: what is none of `LABELS` is kept apart in their embeddings too."""

_EMBEDDED = "embedded.safetensors"


class TrainedAudio(Protocol):
    """Utterances of dialogues -> audio embeddings."""

    @property
    def encoder(self) -> LeafCnn | None:
        """What a bundle can hold of it: nothing, where it does not hear waveforms."""
        ...

    def __call__(self, dialogues: Dialogues) -> tuple[Tensor, Tensor]:
        """Return embeddings of all utterances [N, embedding], and which have one, bool [N]."""
        ...

    def save(self, directory: Path) -> None:
        """Write what a bundle cannot hold beside it."""
        ...


class AudioStage(Protocol):
    """How an audio stage is trained; it can be pickled."""

    def train(self, dialogues: Dialogues, out: Path, *, seed: int) -> TrainedAudio:
        """Train one; what `out` holds of the same training is taken instead."""
        ...

    def settings(self) -> dict[str, Any]:
        """Return all that could be chosen otherwise, as JSON holds it."""
        ...


@dataclass(frozen=True)
class EncoderTraining:
    """How the encoders are trained.

    Attributes:
        audio: The audio stage.
        text: Of the text stage.
        unlabelled: How often an utterance without one of `LABELS` is drawn in the text stage, to one with.
        noise: Word error rate of each version of the texts that are embedded.
        seed: Equal seeds give equal results on one machine.
    """

    audio: AudioStage
    text: TextSettings
    unlabelled: float
    noise: tuple[float, ...]
    seed: int


@dataclass(frozen=True)
class Encoders:
    """Those that have learned from everything."""

    audio_stage: TrainedAudio
    text: BertGru
    tokenizer: TextTokenizer


@dataclass(frozen=True)
class Embeddings:
    """Of N utterances, in the order of their dialogues."""

    audio: Tensor
    """[N, embedding]."""
    text: Tensor
    """[versions, N, embedding]."""
    has_audio: Tensor
    """bool [N]."""
    has_text: Tensor


def train_encoders(
    dialogues: Dialogues, training: EncoderTraining, out: Path, *, workers: int
) -> tuple[Encoders, Embeddings]:
    """Train the audio and the text stage, once on all and once without each session.

    Args:
        dialogues: To learn from.
        training: How.
        out: Where each encoder has a folder; finished ones are taken from there.
        workers: How many to train at a time.

    Returns:
        The final encoders, and embeddings of the dialogues as if no encoder had seen them (as they are, if there is
        only one session).
    """
    numbers = sorted({dialogue[0].session for dialogue in dialogues})
    folds = [None, *(numbers if len(numbers) > 1 else ())]
    parts = [
        Part(f"{kind}{_suffix(without)}", work, (dialogues, without, training, out))
        for kind, work in (("text", _read), ("audio", _hear))
        for without in folds
        if not _is_of(
            out / f"{kind}{_suffix(without)}" / _EMBEDDED,
            _identity(dialogues, without, training),
        )
    ]
    do_parts("Encoders", parts, out / "logs", workers=workers)
    text, _, tokenizer = load_text_stage(out / "text")
    audio_stage = training.audio.train(dialogues, out / "audio", seed=training.seed)
    embeddings = _out_of_fold(dialogues, folds, out)
    return Encoders(audio_stage, text, tokenizer), embeddings


def _out_of_fold(dialogues: Dialogues, folds: Sequence[int | None], out: Path) -> Embeddings:
    """Return what the parts have embedded, in the space of the final encoders."""

    def embedded(kind: str, without: int | None) -> dict[str, Tensor]:
        return load_checkpoint(out / f"{kind}{_suffix(without)}" / _EMBEDDED)[0]

    final_audio, final_text = embedded("audio", None), embedded("text", None)
    has_audio = final_audio["own_has"].bool()
    audio, text = [], []
    for without in folds:
        if without is None:
            continue
        own, shared = (_places(dialogues, part) for part in _split(dialogues, without))
        part = embedded("audio", without)
        both = part["shared_has"].bool() & has_audio[shared]
        audio.append(FoldEmbeddings(own, part["own"][None], shared[both], part["shared"][both]))
        part = embedded("text", without)
        text.append(FoldEmbeddings(own, part["own"], shared, part["shared"]))
    return Embeddings(
        audio=out_of_fold(final_audio["own"][None], audio)[0],
        text=out_of_fold(final_text["own"], text),
        has_audio=has_audio,
        has_text=torch.tensor([bool(u.text) for dialogue in dialogues for u in dialogue]),
    )


def _hear(dialogues: Dialogues, without: int | None, training: EncoderTraining, out: Path) -> None:
    """Train an audio stage without a session and embed that session with it."""
    folder = out / f"audio{_suffix(without)}"
    audio_stage = training.audio.train(_learned(dialogues, without), folder, seed=training.seed)
    identity = _identity(dialogues, without, training)
    if _is_of(folder / _EMBEDDED, identity):
        return
    tensors = {}
    for name, part in zip(("own", "shared"), _split(dialogues, without), strict=True):
        if part:
            tensors[name], tensors[f"{name}_has"] = audio_stage([dialogues[i] for i in part])
    save_checkpoint(folder / _EMBEDDED, tensors, {"identity": identity})


def _read(dialogues: Dialogues, without: int | None, training: EncoderTraining, out: Path) -> None:
    """Train a text stage without a session and embed that session with it, with errors and without."""
    folder = out / f"text{_suffix(without)}"
    encoder, tokenizer = _train_text(_learned(dialogues, without), folder, training)
    identity = _identity(dialogues, without, training)
    if _is_of(folder / _EMBEDDED, identity):
        return
    every = [utterance.text for dialogue in dialogues for utterance in dialogue]
    recogniser, rng = RecogniserNoise(every), np.random.default_rng((training.seed, 11))

    def embedded(texts: Sequence[str], part: Sequence[int]) -> Tensor:
        chosen = [texts[i] for i in _places(dialogues, part).tolist()]
        return embed_texts(encoder, tokenizer, chosen)

    own, shared = _split(dialogues, without)
    clean = embedded(every, own)
    versions = [clean]
    if without is not None or len({dialogue[0].session for dialogue in dialogues}) == 1:
        versions = [
            embedded([recogniser(text, rate, rng) for text in every], own) if rate else clean
            for rate in training.noise
        ]
    tensors = {"own": torch.stack(versions)}
    if shared:
        tensors["shared"] = embedded(every, shared)
    save_checkpoint(folder / _EMBEDDED, tensors, {"identity": identity})


def _train_text(
    dialogues: Dialogues, out: Path, training: EncoderTraining
) -> tuple[BertGru, TextTokenizer]:
    utterances = [u for dialogue in dialogues for u in dialogue if u.text]
    texts = [utterance.text for utterance in utterances]
    data = LabelledTexts(
        texts,
        np.array([CLASSES.index(class_of(u)) for u in utterances], np.int64),
        np.array([1.0 if u.emotion4 else training.unlabelled for u in utterances]),
    )
    out.mkdir(parents=True, exist_ok=True)
    train_text(
        data,
        CLASSES,
        out,
        seed=training.seed,
        resume=True,
        settings=training.text,
        noise=RecogniserNoise(texts),
    )
    encoder, _, tokenizer = load_text_stage(out)
    return encoder, tokenizer


def class_of(utterance: Utterance) -> str:
    """Return the class of an utterance, one of `CLASSES`."""
    return utterance.emotion4 or ("frustrated" if utterance.emotion == "frustration" else "other")


def _suffix(without: int | None) -> str:
    return "" if without is None else f"-without-{without}"


def _learned(dialogues: Dialogues, without: int | None) -> Dialogues:
    return [dialogue for dialogue in dialogues if dialogue[0].session != without]


def _split(dialogues: Dialogues, without: int | None) -> tuple[list[int], list[int]]:
    """Return which dialogues are to be embedded for their own sake, and which so that the spaces can be compared."""
    if without is None:
        return list(range(len(dialogues))), []
    own = [i for i, dialogue in enumerate(dialogues) if dialogue[0].session == without]
    return own, sorted(set(range(len(dialogues))) - set(own))[::ANCHOR_STEP]


def _places(dialogues: Dialogues, part: Sequence[int]) -> Tensor:
    """Return the places of the utterances of some dialogues among all."""
    ends = np.cumsum([len(dialogue) for dialogue in dialogues])
    return torch.cat([torch.arange(ends[i] - len(dialogues[i]), ends[i]) for i in part])


def _identity(
    dialogues: Dialogues, without: int | None, training: EncoderTraining
) -> dict[str, Any]:
    """Return what embeddings depend on, as JSON holds it."""
    plain: dict[str, Any] = json.loads(
        json.dumps(
            {
                "seed": training.seed,
                "audio": training.audio.settings(),
                "text": asdict(training.text),
                "unlabelled": training.unlabelled,
                "noise": training.noise,
                "dialogues": digest_of(dialogues),
                "without": without,
            }
        )
    )
    return plain


def digest_of(dialogues: Dialogues) -> str:
    """Return the SHA-256 of all that is known of the utterances, their sound apart."""
    said = json.dumps([[asdict(utterance) for utterance in dialogue] for dialogue in dialogues])
    return hashlib.sha256(said.encode()).hexdigest()


def _is_of(path: Path, identity: dict[str, Any]) -> bool:
    return path.is_file() and load_checkpoint(path)[1].get("identity") == identity

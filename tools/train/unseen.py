"""Encoders of a corpus in sessions, and its embeddings as if no encoder had seen it.

An encoder knows the utterances that it was trained on: their embeddings are better than any will be later, and a
fusion that learns from them trusts too much. So each session's come from encoders which were trained without it,
mapped linearly into the space of the final encoders (the idea of stacking: Wolpert, Neural Networks 5, 1992).
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from models.audio_encoder import AudioEncoder
from models.text_encoder import TextEncoder, TextTokenizer
from tools.data.iemocap import LABELS, Utterance
from tools.train.alignment import linear_map
from tools.train.checkpoint import load_checkpoint, save_checkpoint
from tools.train.frozen_text import (
    ReadingSettings,
    States,
    compute_states,
    embed_states,
    load_reader,
    load_states,
    save_states,
    train_reader,
)
from tools.train.minilm import pretrained_text_encoder, pretrained_tokenizer
from tools.train.text_noise import RecogniserNoise
from tools.train.workers import Part, do_parts

Dialogues: TypeAlias = Sequence[Sequence[Utterance]]

CLASSES = (*LABELS, "frustrated", "other")
"""What the encoders' own classifiers tell apart: what is none of `LABELS` is kept apart in their embeddings too."""

_EMBEDDED = "embedded.safetensors"
_ALIGNED_ON = 3
"""The map between two encoders' spaces is found from each so many-th of the dialogues, those that both know."""


class Ear(Protocol):
    """Utterances of dialogues -> audio embeddings."""

    @property
    def encoder(self) -> AudioEncoder | None:
        """What a bundle can hold of it: nothing, where it does not hear waveforms."""
        ...

    def __call__(self, dialogues: Dialogues) -> tuple[Tensor, Tensor]:
        """Embeddings of all utterances [N, embedding], and which have one, bool [N]."""
        ...

    def save(self, directory: Path) -> None:
        """Writes what a bundle cannot hold beside it."""
        ...


class AudioStage(Protocol):
    """How an ear is trained; it can be pickled."""

    def train(self, dialogues: Dialogues, out: Path, *, seed: int) -> Ear:
        """Trains one; what `out` holds of the same training is taken instead."""
        ...

    def settings(self) -> dict[str, Any]:
        """All that could be chosen otherwise, as JSON holds it."""
        ...


@dataclass(frozen=True)
class EncoderTraining:
    """How the encoders are trained.

    Attributes:
        audio: The audio stage.
        text: The text stage.
        noise: Word error rate of each version of the texts.
        seed: Equal seeds give equal results on one machine.
    """

    audio: AudioStage
    text: ReadingSettings
    noise: tuple[float, ...]
    seed: int


@dataclass(frozen=True)
class Encoders:
    """Those that have learned from everything."""

    ear: Ear
    text: TextEncoder
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
    """Trains the audio and the text stage, once on all and once without each session.

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

    def parts(kind: str, work: Callable[..., None]) -> list[Part]:
        return [
            Part(f"{kind}{_suffix(without)}", work, (dialogues, without, training, out))
            for without in folds
        ]

    identities = {without: _identity(dialogues, without, training) for without in folds}
    finished = all(
        _is_of(out / f"text{_suffix(without)}" / _EMBEDDED, identity)
        for without, identity in identities.items()
    )
    versions = () if finished else range(len(training.noise))
    spelled = [Part(f"words-{n}", _spell, (dialogues, n, training, out)) for n in versions]
    do_parts("Encoders", spelled + parts("audio", _hear), out / "logs", workers=workers)
    if not finished:
        do_parts("Encoders", parts("text", _read), out / "logs", workers=workers)
        for number in versions:  # large, and done with
            _states_file(out, number).unlink(missing_ok=True)
    text = pretrained_text_encoder().eval()
    load_reader(text, out / "text")
    ear = training.audio.train(dialogues, out / "audio", seed=training.seed)
    tokenizer = pretrained_tokenizer(text.config.max_tokens)
    return Encoders(ear, text, tokenizer), _as_if_unseen(dialogues, folds, out)


def _as_if_unseen(dialogues: Dialogues, folds: Sequence[int | None], out: Path) -> Embeddings:
    """What the parts have embedded, in the space of the final encoders."""

    def embedded(kind: str, without: int | None) -> dict[str, Tensor]:
        return load_checkpoint(out / f"{kind}{_suffix(without)}" / _EMBEDDED)[0]

    heard, read = embedded("audio", None), embedded("text", None)
    audio, has_audio, final = heard["own"], heard["own_has"], read["own"][0]
    text = read["own"].clone()
    for without in folds:
        if without is None:
            continue
        own, shared = (_places(dialogues, part) for part in _split(dialogues, without))
        part = embedded("audio", without)
        both = part["shared_has"] & has_audio[shared]
        into = linear_map(part["shared"][both], heard["own"][shared][both])
        audio = audio.index_copy(0, own, into(part["own"]))
        part = embedded("text", without)
        text[:, own] = linear_map(part["shared"], final[shared])(part["own"])
    has_text = torch.tensor([bool(u.text) for dialogue in dialogues for u in dialogue])
    return Embeddings(audio, text, has_audio.bool(), has_text)


def _hear(dialogues: Dialogues, without: int | None, training: EncoderTraining, out: Path) -> None:
    """Trains an audio stage without a session and embeds that session with it."""
    folder = out / f"audio{_suffix(without)}"
    ear = training.audio.train(_learned(dialogues, without), folder, seed=training.seed)
    identity = _identity(dialogues, without, training)
    if _is_of(folder / _EMBEDDED, identity):
        return
    tensors = {}
    for name, part in zip(("own", "shared"), _split(dialogues, without), strict=True):
        if part:
            tensors[name], tensors[f"{name}_has"] = ear([dialogues[i] for i in part])
    save_checkpoint(folder / _EMBEDDED, tensors, {"identity": identity})


def _spell(dialogues: Dialogues, version: int, training: EncoderTraining, out: Path) -> None:
    """What MiniLM says of one version of the texts."""
    path = _states_file(out, version)
    identity = {**_identity(dialogues, None, training), "version": version}
    if _is_of(path, identity):
        return
    texts = [utterance.text for dialogue in dialogues for utterance in dialogue]
    if rate := training.noise[version]:
        recogniser, rng = RecogniserNoise(texts), np.random.default_rng((training.seed, version))
        texts = [recogniser(text, rate, rng) for text in texts]
    encoder = pretrained_text_encoder().eval()
    tokenizer = pretrained_tokenizer(encoder.config.max_tokens)
    save_states(path, compute_states(encoder, tokenizer, texts), identity)


def _read(dialogues: Dialogues, without: int | None, training: EncoderTraining, out: Path) -> None:
    """Trains a text stage without a session and embeds that session with it, with errors and without."""
    folder = out / f"text{_suffix(without)}"
    identity = _identity(dialogues, without, training)
    if _is_of(folder / _EMBEDDED, identity):
        return
    versions = [load_states(_states_file(out, number)) for number in range(len(training.noise))]
    every = [utterance for dialogue in dialogues for utterance in dialogue]
    classes = [CLASSES.index(class_of(u)) if u.text and u.session != without else -1 for u in every]
    torch.manual_seed(training.seed)
    encoder = pretrained_text_encoder()
    folder.mkdir(parents=True, exist_ok=True)
    train_reader(
        encoder,
        versions,
        torch.tensor(classes),
        len(CLASSES),
        torch.tensor([bool(utterance.emotion4) for utterance in every]),
        folder,
        identity,
        seed=training.seed,
        settings=training.text,
    )

    def embedded(states: States, part: Sequence[int]) -> Tensor:
        return embed_states(encoder, states, _places(dialogues, part).tolist())

    own, shared = _split(dialogues, without)
    tensors = {"own": torch.stack([embedded(states, own) for states in versions])}
    if shared:
        tensors["shared"] = embedded(versions[0], shared)
    save_checkpoint(folder / _EMBEDDED, tensors, {"identity": identity})


def class_of(utterance: Utterance) -> str:
    """Its one of `CLASSES`."""
    return utterance.emotion4 or ("frustrated" if utterance.emotion == "frustration" else "other")


def _states_file(out: Path, version: int) -> Path:
    return out / f"words-{version}.safetensors"


def _suffix(without: int | None) -> str:
    return "" if without is None else f"-without-{without}"


def _learned(dialogues: Dialogues, without: int | None) -> Dialogues:
    return [dialogue for dialogue in dialogues if dialogue[0].session != without]


def _split(dialogues: Dialogues, without: int | None) -> tuple[list[int], list[int]]:
    """Which dialogues are to be embedded for their own sake, and which so that the spaces can be compared."""
    if without is None:
        return list(range(len(dialogues))), []
    own = [i for i, dialogue in enumerate(dialogues) if dialogue[0].session == without]
    return own, sorted(set(range(len(dialogues))) - set(own))[::_ALIGNED_ON]


def _places(dialogues: Dialogues, part: Sequence[int]) -> Tensor:
    """Of the utterances of some dialogues among all."""
    ends = np.cumsum([len(dialogue) for dialogue in dialogues])
    return torch.cat([torch.arange(ends[i] - len(dialogues[i]), ends[i]) for i in part])


def _identity(
    dialogues: Dialogues, without: int | None, training: EncoderTraining
) -> dict[str, Any]:
    """What embeddings depend on, as JSON holds it."""
    plain: dict[str, Any] = json.loads(
        json.dumps(
            {
                "seed": training.seed,
                "audio": training.audio.settings(),
                "text": asdict(training.text),
                "noise": training.noise,
                "dialogues": digest_of(dialogues),
                "without": without,
            }
        )
    )
    return plain


def digest_of(dialogues: Dialogues) -> str:
    """SHA-256 of all that is known of the utterances, their sound apart."""
    said = json.dumps([[asdict(utterance) for utterance in dialogue] for dialogue in dialogues])
    return hashlib.sha256(said.encode()).hexdigest()


def _is_of(path: Path, identity: dict[str, Any]) -> bool:
    return path.is_file() and load_checkpoint(path)[1].get("identity") == identity

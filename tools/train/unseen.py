"""Encoders of a corpus in sessions, and its embeddings as if no encoder had seen it.

An encoder knows the utterances that it was trained on: their embeddings are better than any will be later, and a
fusion that learns from them trusts too much. So each session's come from encoders which were trained without it,
mapped linearly into the space of the final encoders (the idea of stacking: Wolpert, Neural Networks 5, 1992).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeAlias

import numpy as np
import torch
from torch import Tensor

from models.audio_encoder import AudioEncoder
from models.text_encoder import TextEncoder, TextTokenizer
from tools.data.iemocap import LABELS, Utterance
from tools.train.alignment import linear_map
from tools.train.text import LabelledTexts, TextSettings, embed_texts, load_text_stage, train_text
from tools.train.text_noise import RecogniserNoise

Dialogues: TypeAlias = Sequence[Sequence[Utterance]]

CLASSES = (*LABELS, "frustrated", "other")
"""What the text stage's own classifier tells apart."""

_ALIGNED_ON = 3
"""The map between two encoders' spaces is found from each so many-th of the dialogues that both were trained on."""


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
    """How an ear is trained."""

    def train(self, dialogues: Dialogues, out: Path, *, seed: int) -> Ear:
        """Trains one; what `out` holds of the same training is taken instead."""
        ...

    def settings(self) -> dict[str, Any]:
        """All that could be chosen otherwise, as JSON holds it."""
        ...


@dataclass(frozen=True)
class Encoders:
    """The final encoders, and for each session those which have not seen it (none, if there is only one)."""

    ear: Ear
    text: TextEncoder
    tokenizer: TextTokenizer
    without: dict[int, tuple[Ear, TextEncoder]]


def train_encoders(
    dialogues: Dialogues,
    audio: AudioStage,
    out: Path,
    *,
    seed: int,
    settings: TextSettings,
    unlabelled: float,
) -> Encoders:
    """Trains the audio and the text stage, once on all and once without each session.

    Args:
        dialogues: To learn from.
        audio: How the audio stage is trained.
        out: Where each encoder has a folder; finished ones are taken from there.
        seed: Equal seeds give equal results on one machine.
        settings: Of the text stage.
        unlabelled: How often an utterance without one of `LABELS` is drawn in the text stage, to one with.
    """
    numbers = sorted({dialogue[0].session for dialogue in dialogues})
    parts = {number: [d for d in dialogues if d[0].session != number] for number in numbers}

    def text_of(part: Dialogues, name: str) -> tuple[TextEncoder, TextTokenizer]:
        return _train_text(part, out / name, seed, settings, unlabelled)

    text, tokenizer = text_of(dialogues, "text")
    ear = audio.train(dialogues, out / "audio", seed=seed)
    without = {}
    for number, part in parts.items() if len(numbers) > 1 else ():
        ears = audio.train(part, out / f"audio-without-{number}", seed=seed)
        without[number] = (ears, text_of(part, f"text-without-{number}")[0])
    return Encoders(ear, text, tokenizer, without)


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


def unseen_embeddings(
    dialogues: Dialogues, encoders: Encoders, noise: Sequence[float], *, seed: int
) -> Embeddings:
    """Embeddings of the dialogues that the encoders were trained on, as if they had not been.

    Args:
        dialogues: Those that `train_encoders` was given.
        encoders: What it gave.
        noise: Word error rate of each version of the texts.
        seed: Decides the errors.
    """
    rng = np.random.default_rng((seed, 11))
    utterances = [utterance for dialogue in dialogues for utterance in dialogue]
    texts = [utterance.text for utterance in utterances]
    recogniser = RecogniserNoise(texts)
    versions = [[recogniser(t, rate, rng) if rate else t for t in texts] for rate in noise]
    audio, has_audio = encoders.ear(dialogues)
    text = torch.zeros(len(versions), *audio.shape)
    ends = np.cumsum([len(dialogue) for dialogue in dialogues])

    def places(part: Sequence[int]) -> Tensor:
        """Of the utterances of some dialogues."""
        return torch.cat([torch.arange(ends[i] - len(dialogues[i]), ends[i]) for i in part])

    def read(encoder: TextEncoder, rows: Sequence[str], utterances: Tensor) -> Tensor:
        return embed_texts(encoder, encoders.tokenizer, [rows[i] for i in utterances.tolist()])

    heard = audio.clone()
    for number, (ear, encoder) in encoders.without.items():
        own = [i for i, dialogue in enumerate(dialogues) if dialogue[0].session == number]
        shared = sorted(set(range(len(dialogues))) - set(own))[::_ALIGNED_ON]
        held, known = places(own), places(shared)
        other, has_other = ear([dialogues[i] for i in (*own, *shared)])
        mapped = known[has_other[len(held) :]]
        heard[held] = linear_map(other[len(held) :][has_other[len(held) :]], audio[mapped])(
            other[: len(held)]
        )
        into = linear_map(read(encoder, texts, known), read(encoders.text, texts, known))
        for version, rows in enumerate(versions):
            text[version, held] = into(read(encoder, rows, held))
    if not encoders.without:
        every = torch.arange(len(texts))
        text = torch.stack([read(encoders.text, rows, every) for rows in versions])
    has_text = torch.tensor([bool(row) for row in texts])
    return Embeddings(heard, text, has_audio, has_text)


def _train_text(
    dialogues: Dialogues, out: Path, seed: int, settings: TextSettings, unlabelled: float
) -> tuple[TextEncoder, TextTokenizer]:
    utterances = [u for dialogue in dialogues for u in dialogue if u.text]
    texts = [utterance.text for utterance in utterances]
    data = LabelledTexts(
        texts,
        np.array([CLASSES.index(_class_of(u)) for u in utterances], np.int64),
        np.array([1.0 if u.emotion4 else unlabelled for u in utterances]),
    )
    out.mkdir(parents=True, exist_ok=True)
    noise = RecogniserNoise(texts)
    train_text(data, CLASSES, out, seed=seed, resume=True, settings=settings, noise=noise)
    encoder, _, tokenizer = load_text_stage(out)
    return encoder, tokenizer


def _class_of(utterance: Utterance) -> str:
    return utterance.emotion4 or ("frustrated" if utterance.emotion == "frustration" else "other")

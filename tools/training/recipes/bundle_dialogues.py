"""The dialogues that contexts and fusion learn from: embedded as if unseen, cast, given voices."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from streamer_models.encoders.bert_gru import BertGru
from streamer_models.encoders.leaf_cnn import LeafCnn
from tools.data.cache import open_clips
from tools.data.conversations import TextDialogue
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.folds import (
    dialogue_folds,
    embed_out_of_fold,
    learnt_from,
    speaker_folds,
    without,
)
from tools.training.precision import reduced_precision
from tools.training.recipes.bundle_run import BundleRun
from tools.training.recipes.open_dialogues import open_dialogues
from tools.training.tasks import audio as audio_stage
from tools.training.tasks import text as text_stage
from tools.training.tasks.audio_data import open_versions, training_clips
from tools.training.tasks.clip_embeddings import embed_clips
from tools.training.tasks.composition import ClipBank, clip_call, voiced
from tools.training.tasks.dialogues import LabelledDialogue
from tools.training.tasks.text_noise import RecogniserNoise

_TEXTS = ("written", "noisy_texts", "noise", "folds", "unseen_texts")
_CLIPS = ("clip_versions", "folds", "unseen_voices")
SETTINGS = (*_TEXTS, "unseen_voices", "clip_versions", "window", "composition", "casts", "calls")
"""Names of the settings on which the composed dialogues depend."""


def composed_dialogues(run: BundleRun) -> list[LabelledDialogue]:
    """Return the composed dialogues to learn from; the encoders must have been trained."""
    settings = run.settings
    rng = np.random.default_rng((run.seed, 5))
    everything = open_dialogues(run.data, *run.splits)
    chosen = _chosen(everything, settings.written, rng)
    folds = dialogue_folds(everything, settings.folds)[chosen]
    texts = _texts(run, [everything[i] for i in chosen], folds)
    written = [everything[i] for i in chosen[learnt_from(folds, settings.unseen_texts)]]
    whole = open_clips(run.data / "speech", run.cache).clips
    clips = [whole[i] for i in training_clips(whole, run.parts)]
    voices = learnt_from(speaker_folds(clips, settings.folds), settings.unseen_voices)
    bank = ClipBank([clips[i] for i in voices], _clips(run))
    composed: list[LabelledDialogue] = []
    for _ in range(settings.casts):
        start = 0
        for dialogue in written:
            end = start + len(dialogue.turns)
            composed.append(voiced(dialogue, texts[:, start:end], bank, settings.composition, rng))
            start = end
    turns = [turn for dialogue in written for turn in dialogue.turns]
    plain = [i for i, turn in enumerate(turns) if turn.emotion4 == "neutral"]
    composed += [
        clip_call(bank, texts[0, plain], settings.composition, rng) for _ in range(settings.calls)
    ]
    return composed


def _clips(run: BundleRun) -> Tensor:
    """Return embeddings [versions, n, D] of the clips to learn from: as recorded, augmented, a short stretch."""

    def make() -> Tensor:
        speech = open_clips(run.data / "speech", run.cache)
        places = training_clips(speech.clips, run.parts)
        versions = open_versions(
            speech,
            copies=run.settings.clip_versions,
            seed=run.seed,
            cache=run.cache,
            parts=run.parts,
        )

        def embed(encoder: LeafCnn, version: int, rows: NDArray[np.int64]) -> Tensor:
            if version < len(versions):
                return embed_clips(encoder, versions[version], [places[i] for i in rows])
            short = np.random.default_rng((run.seed, 6))
            return embed_clips(encoder, versions[0], [places[i] for i in rows], short=short)

        def encoder(name: str) -> LeafCnn:
            return audio_stage.load_audio_stage(run.out / "audio" / name)[0]

        folds = speaker_folds([speech.clips[i] for i in places], run.settings.folds)
        apart = [encoder(without(fold)) for fold in run.folds("audio")]
        return embed_out_of_fold(encoder(""), apart, embed, folds, len(versions) + 1)

    return _kept(run, "clips", _CLIPS, run.encoders("audio"), make)


def _texts(run: BundleRun, written: list[TextDialogue], folds: NDArray[np.int64]) -> Tensor:
    """Return embeddings [versions, N, D] of all turns to learn from: as they are, then with noise.

    Args:
        run: Where the encoders are.
        written: Dialogues.
        folds: The fold of each dialogue.
    """

    def make() -> Tensor:
        rng = np.random.default_rng((run.seed, 6))
        said = [turn.text for dialogue in written for turn in dialogue.turns]
        noise = RecogniserNoise(said)
        heard = [
            [noise(t, rng.uniform(0, run.settings.noise), rng) for t in said]
            for _ in range(run.settings.noisy_texts)
        ]
        versions = (said, *heard)
        tokenizer = text_stage.load_text_stage(run.out / "text")[2]

        def embed(encoder: BertGru, version: int, rows: NDArray[np.int64]) -> Tensor:
            return text_stage.embed_texts(encoder, tokenizer, [versions[version][i] for i in rows])

        def encoder(name: str) -> BertGru:
            return text_stage.load_text_stage(run.out / "text" / name)[0]

        of_turns = np.repeat(folds, [len(dialogue.turns) for dialogue in written])
        apart = [encoder(without(fold)) for fold in run.folds("text")]
        return embed_out_of_fold(encoder(""), apart, embed, of_turns, len(versions))

    return _kept(run, "texts", _TEXTS, run.encoders("text"), make)


def _kept(
    run: BundleRun,
    kind: str,
    keys: tuple[str, ...],
    encoders: tuple[str, ...],
    make: Callable[[], Tensor],
) -> Tensor:
    """Return embeddings that were kept, or made now and kept for the other stages."""
    place = run.out / "context" / f"{kind}.safetensors"
    identity = run.identity(kind, keys, encoders)
    if place.is_file():
        tensors, found = load_checkpoint(place)
        if found == identity:
            return tensors[kind]
    with reduced_precision():  # errors far below those that noise makes
        embeddings = make()
    save_checkpoint(place, {kind: embeddings}, identity)
    return embeddings


def _chosen(
    dialogues: list[TextDialogue], written: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return places of all talk, and of what was written so many dialogues, those in which most is expressed."""
    kept = [i for i, dialogue in enumerate(dialogues) if dialogue.corpus != "dailydialog"]
    rest = [i for i, dialogue in enumerate(dialogues) if dialogue.corpus == "dailydialog"]
    weight = {"angry": 2.0, "sad": 2.0, "happy": 1.0}
    expressed = [sum(weight.get(turn.emotion4, 0.0) for turn in dialogues[i].turns) for i in rest]
    order = np.argsort(-(np.array(expressed) + rng.random(len(rest))), kind="stable")
    return np.array(kept + [rest[i] for i in order[:written]], np.int64)

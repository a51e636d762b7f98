"""Dialogues judged by a bundle under chosen conditions: how much context, which words, sound or none."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from streamer_models.bundle import Bundle
from streamer_models.heads.calibration import modalities_of
from streamer_models.windows import Dialogue
from tools.data.iemocap import Utterance
from tools.evaluate.ensemble import Ensemble
from tools.evaluate.metrics import Judgements
from tools.progress import progress
from tools.training.recipes.dyadic_encoders import Dialogues, TrainedAudio
from tools.training.tasks.text import embed_texts
from tools.training.tasks.text_noise import RecogniserNoise


@dataclass(frozen=True)
class Conditions:
    """What a bundle is given.

    Attributes:
        window: Utterances in a causal window; None: the bundle's own, or whole dialogues if that is its form.
        text: Whether there are transcripts.
        noise: Their word error rate.
        audio: Whether there is sound.
        seed: Decides the errors.
    """

    window: int | None = None
    text: bool = True
    noise: float = 0.0
    audio: bool = True
    seed: int = 0


@torch.inference_mode()
def judged(
    ensemble: Ensemble, audio_stage: TrainedAudio, dialogues: Dialogues, conditions: Conditions
) -> tuple[Judgements, list[Utterance]]:
    """Return what models say of the utterances that have one of their labels, and which utterances these are.

    Clusters of the judgements are the dialogues.
    """
    bundle = ensemble.bundle
    labels = bundle.labels
    judged_of: list[Utterance] = []
    rows = []
    embedded = embed_dialogues(bundle, audio_stage, dialogues, conditions)
    for utterances, dialogue in zip(dialogues, progress(embedded, "Judging"), strict=True):
        logits = ensemble.logits(dialogue, conditions.window)
        probabilities = bundle.calibration.probabilities(
            logits, modalities_of(dialogue.has_audio, dialogue.has_text)
        )
        for utterance, row in zip(utterances, probabilities.double().numpy(), strict=True):
            if utterance.emotion4 in labels:
                judged_of.append(utterance)
                rows.append(row)
    judgements = Judgements.of(
        labels,
        [utterance.emotion4 for utterance in judged_of],
        np.array(rows),
        [utterance.dialogue for utterance in judged_of],
    )
    return judgements, judged_of


def embed_dialogues(
    bundle: Bundle, audio_stage: TrainedAudio, dialogues: Dialogues, conditions: Conditions
) -> list[Dialogue]:
    """Return the dialogues as the bundle's model sees them under the conditions."""
    utterances = [utterance for dialogue in dialogues for utterance in dialogue]
    texts = [utterance.text for utterance in utterances]
    if conditions.noise:
        recogniser, rng = RecogniserNoise(texts), np.random.default_rng((conditions.seed, 12))
        texts = [recogniser(text, conditions.noise, rng) for text in texts]
    size = bundle.model.config.embedding
    text = torch.zeros(len(texts), size)
    has_text = torch.zeros(len(texts), dtype=torch.bool)
    if conditions.text and bundle.model.text is not None and bundle.tokenizer is not None:
        text = embed_texts(bundle.model.text, bundle.tokenizer, texts)
        has_text = torch.tensor([bool(row) for row in texts])
    audio, has_audio = torch.zeros(len(texts), size), torch.zeros(len(texts), dtype=torch.bool)
    if conditions.audio:
        audio, has_audio = audio_stage(dialogues)
    speakers = torch.tensor(speaker_numbers(utterances))
    lengths = [len(dialogue) for dialogue in dialogues]
    columns = [
        torch.split(column, lengths) for column in (audio, text, has_audio, has_text, speakers)
    ]
    return [Dialogue(*parts) for parts in zip(*columns, strict=True)]


def speaker_numbers(utterances: Sequence[Utterance]) -> list[int]:
    """Return a number for each utterance, the same for the same person."""
    people = {name: place for place, name in enumerate(sorted({u.speaker for u in utterances}))}
    return [people[utterance.speaker] for utterance in utterances]

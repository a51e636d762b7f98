"""The fusion of scores, fitted on composed dialogues in which no encoder knows a voice or a text.

It has a hundred parameters, so all windows are one batch. Each utterance is seen with both modalities and with
either of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from streamer_models.windows import Dialogue, WindowBatch
from streamer_models.zoo.late_fusion import ScoreFusion
from tools.training.tasks.dialogues import LabelledDialogue


@dataclass(frozen=True)
class FusionSettings:
    """All that could be chosen otherwise.

    Attributes:
        steps: Of Adam, over all windows each time.
        past_penalty: Weight of the squared weights of the past.
        class_weights: A class weighs (1 / its share) to this power.
        decay: Weight of a past utterance relative to the one after it.
        casts: How often each written dialogue is given voices.
        clip_calls: Calls made of clips alone.
        calm_calls: Calls made of calm speech.
    """

    steps: int = 300
    learning_rate: float = 0.03
    past_penalty: float = 0.02
    class_weights: float = 0.5
    decay: float = 0.7
    window: int = 8
    casts: int = 2
    clip_calls: int = 150
    calm_calls: int = 60


def fit_fusion(
    dialogues: Sequence[LabelledDialogue], settings: FusionSettings, *, seed: int
) -> ScoreFusion:
    """Fit the fusion.

    Args:
        dialogues: Their embeddings are the scores of each modality's classifier, [versions, N, classes].
        settings: How.
        seed: Decides which version of an utterance is seen, and which modality is missing.
    """
    torch.manual_seed(seed)
    windows, targets = _windows(dialogues, settings.window)
    fusion = ScoreFusion(targets.shape[1], settings.decay)
    counts = targets.sum(dim=0).clamp(min=1)
    weights = targets @ (counts.sum() / counts) ** settings.class_weights
    weights = weights / weights.sum()
    optimizer = torch.optim.Adam(fusion.parameters(), settings.learning_rate)
    for _ in range(settings.steps):
        losses = -(targets * fusion(windows).log_softmax(dim=-1)).sum(dim=-1)
        penalty = settings.past_penalty * fusion.past.weight.square().sum()
        loss = (weights * losses).sum() + penalty
        optimizer.zero_grad()
        torch.autograd.backward(loss)
        optimizer.step()
    return fusion.eval()


@torch.inference_mode()
def fused(fusion: ScoreFusion, dialogue: Dialogue, window: int) -> Tensor:
    """Return scores [N, classes] of the utterances of a dialogue of scores."""
    out: Tensor = fusion(dialogue.windows(window))
    return out


def calm_call(
    audio: Tensor, text: Tensor, target: Tensor, rng: np.random.Generator
) -> LabelledDialogue:
    """Return a call of two calm speakers.

    Args:
        audio: Scores [versions, n, classes] of calm pieces.
        text: Scores [m, classes] of neutral texts.
        target: Probabilities of the classes.
        rng: Decides all else.
    """
    length = int(rng.integers(6, 16))
    pieces = torch.from_numpy(rng.integers(audio.shape[1], size=length))
    texts = torch.from_numpy(rng.integers(len(text), size=length))
    everything = torch.ones(length, dtype=torch.bool)
    return LabelledDialogue(
        audio=audio[:, pieces],
        text=text[texts][None],
        has_audio=everything,
        has_text=everything,
        speaker=torch.from_numpy(rng.integers(2, size=length)),
        targets=target.expand(length, -1),
    )


def _windows(dialogues: Sequence[LabelledDialogue], size: int) -> tuple[WindowBatch, Tensor]:
    """Return windows of all labelled utterances, three times: with both modalities, with audio and with text alone."""
    parts, targets = [], []
    for dialogue in dialogues:
        labelled = dialogue.targets.any(dim=-1)
        if not bool(labelled.any()):
            continue
        plain = _drawn(dialogue)
        for change in ({}, {"has_text": _none(plain)}, {"has_audio": _none(plain)}):
            windows = replace(plain, **change).windows(size)
            kept = labelled & (plain.has_audio if "has_text" in change else plain.has_text)
            rows = {name: getattr(windows, name)[kept] for name in WindowBatch.__slots__}
            parts.append(WindowBatch(**rows))
            targets.append(dialogue.targets[kept])
    return WindowBatch.joined([part for part in parts if len(part.mask)]), torch.cat(targets)


def _drawn(dialogue: LabelledDialogue) -> Dialogue:
    """Return one version of each utterance, by torch's random numbers."""
    count, utterances = dialogue.audio.shape[:2]
    rows = torch.arange(utterances)
    return Dialogue(
        audio=dialogue.audio[torch.randint(count, (utterances,)), rows],
        text=dialogue.text[torch.randint(len(dialogue.text), (utterances,)), rows],
        has_audio=dialogue.has_audio,
        has_text=dialogue.has_text,
        speaker=dialogue.speaker,
    )


def _none(dialogue: Dialogue) -> Tensor:
    return torch.zeros_like(dialogue.has_text)

"""The paper's third and fourth stage, on embeddings of the utterances of dialogues: the contexts, then the fusion.

Each modality's context encoder is trained with a linear classifier of its own, which is then thrown away; both are
frozen; the fusion is trained on what they give (Dutta & Ganapathy, ICASSP 2022). Windows are causal, each judging
its last utterance, unless the model's own window is the whole conversation.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamer_models.context.attention import ContextEncoder
from streamer_models.layers.recurrent import last_real, lengths_of
from streamer_models.windows import Dialogue, WindowBatch
from streamer_models.zoo.dutta2022 import Dutta2022
from tools.training.loop import Loop, StagePace, adamw, warm_cosine
from tools.training.precision import reduced_precision

MODALITIES = ("audio", "text")


@dataclass(frozen=True)
class StageSettings(StagePace):
    """How one of the stages is trained; a step takes `batch` dialogues."""

    epochs: int = 15
    batch: int = 4
    label_smoothing: float = 0.1
    class_weights: float = 0.5
    """A class weighs (1 / its share) to this power: 0 all utterances alike, 1 all classes alike."""
    drop_audio: float = 0.1
    """Share of utterances whose audio is taken away."""
    drop_text: float = 0.15
    feature_dropout: float = 0.1
    """Share of an embedding's entries that are set to zero, the rest scaled up."""
    shorten: float = 0.2
    """Share of dialogues whose windows are shorter than the model's, by chance, in an epoch."""


@dataclass(frozen=True)
class LabelledDialogue:
    """The N utterances of a dialogue as the stages learn from them.

    Of an utterance there may be several versions (augmented audio, texts with recogniser's errors); each epoch draws
    one of them. Version 0 is the true one, with which the model is evaluated.
    """

    audio: Tensor
    """Embeddings [versions, N, embedding]; ignored where `has_audio` is false, as `text` is."""
    text: Tensor
    has_audio: Tensor
    """bool [N]."""
    has_text: Tensor
    speaker: Tensor
    """Who speaks: an integer for each utterance, [N]."""
    targets: Tensor
    """Probabilities of the classes, float [N, classes]; a row of zeros carries no loss, and is context only."""

    def plain(self) -> Dialogue:
        """Return the dialogue as it is."""
        return Dialogue(self.audio[0], self.text[0], self.has_audio, self.has_text, self.speaker)

    def drawn(self, settings: StageSettings) -> Dialogue:
        """Return the dialogue, its versions, lost modalities and lost features drawn by torch."""
        keep_audio, keep_text = (
            torch.rand(len(self.speaker)) >= share
            for share in (settings.drop_audio, settings.drop_text)
        )
        return Dialogue(
            audio=_any_version(self.audio, settings.feature_dropout),
            text=_any_version(self.text, settings.feature_dropout),
            has_audio=self.has_audio & keep_audio,
            has_text=self.has_text & keep_text,
            speaker=self.speaker,
        )


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Return targets [N, classes] of labels (int64 [N]); a negative label is a row of zeros."""
    hot = nn.functional.one_hot(labels.clamp(min=0), classes).float()
    return hot * (labels >= 0)[:, None]


def train_contexts(
    model: Dutta2022,
    dialogues: Sequence[LabelledDialogue],
    settings: StageSettings,
    *,
    seed: int,
    evaluate: Callable[[nn.Module], str] | None = None,
) -> None:
    """Train both context encoders of a model; nothing else of it changes.

    Args:
        model: Of which `config.window` and `config.speaker` say which form is trained.
        dialogues: To learn from.
        settings: How.
        seed: Of everything random, the initial weights of the encoders excepted.
        evaluate: Says, for the progress bar, how good the `ContextClassifier` is after an epoch.
    """
    for place, modality in enumerate(MODALITIES):
        encoder = model.audio_context if modality == "audio" else model.text_context
        if not any(bool(getattr(dialogue, f"has_{modality}").any()) for dialogue in dialogues):
            continue
        torch.manual_seed(seed + place)
        classifier = ContextClassifier(encoder, modality, model)
        _train(
            classifier, model.config.window, dialogues, settings, f"context of {modality}", evaluate
        )


def train_fusion(
    model: Dutta2022,
    dialogues: Sequence[LabelledDialogue],
    settings: StageSettings,
    *,
    seed: int,
    evaluate: Callable[[nn.Module], str] | None = None,
) -> None:
    """Train the fusion of a model over its frozen context encoders; nothing else of it changes."""
    torch.manual_seed(seed)
    classifier = FusionClassifier(model)
    _train(classifier, model.config.window, dialogues, settings, "fusion", evaluate)


class ContextClassifier(nn.Module):
    """A context encoder with a linear classifier: what the third stage trains."""

    def __init__(self, encoder: ContextEncoder, modality: str, model: Dutta2022) -> None:
        super().__init__()
        self.encoder = encoder
        self.modality = modality
        self.dropout = nn.Dropout(model.config.fusion.head_dropout)
        self.head = nn.Linear(2 * model.config.context.hidden, len(model.labels))

    def forward(self, windows: WindowBatch, *, last: bool) -> Tensor:
        """Return logits of the last utterance of each window [B, classes], or of each utterance [B, L, classes]."""
        x = windows.audio if self.modality == "audio" else windows.text
        has = windows.has_audio if self.modality == "audio" else windows.has_text
        out = self.encoder(x, has, windows.same_speaker, windows.mask)
        if last:
            out = last_real(out, lengths_of(windows.mask))
        logits: Tensor = self.head(self.dropout(out))
        return logits


class FusionClassifier(nn.Module):
    """A whole model of which only the fusion learns: what the fourth stage trains."""

    def __init__(self, model: Dutta2022) -> None:
        super().__init__()
        self.fusion = model.fusion
        # In a tuple, so that they are neither parameters of this nor put into training mode with it.
        self._contexts = (model.text_context.eval(), model.audio_context.eval())

    def forward(self, windows: WindowBatch, *, last: bool) -> Tensor:
        """Return logits of the last utterance of each window [B, classes], or of each utterance [B, L, classes]."""
        w = windows
        text_context, audio_context = self._contexts
        with torch.no_grad():
            text = text_context(w.text, w.has_text, w.same_speaker, w.mask)
            audio = audio_context(w.audio, w.has_audio, w.same_speaker, w.mask)
        with reduced_precision(wanted=self.training):
            lengths = lengths_of(w.mask) if last else None
            logits: Tensor = self.fusion(text, audio, w.mask, lengths).logits
        return logits.float()


def _train(
    classifier: nn.Module,
    window: int | None,
    dialogues: Sequence[LabelledDialogue],
    settings: StageSettings,
    title: str,
    evaluate: Callable[[nn.Module], str] | None,
) -> None:
    """Train by AdamW, a linear warm-up over a tenth of the steps, then half a cosine; gradients clipped to norm 1."""
    learning = [dialogue for dialogue in dialogues if bool(dialogue.targets.any())]
    weights = _class_weights(learning, settings.class_weights)
    optimizer = adamw(classifier, settings)

    def loss(batch: tuple[WindowBatch, Tensor]) -> Tensor:
        windows, targets = batch
        logits = classifier(windows, last=window is not None)
        return _loss(logits[targets.any(-1)], targets[targets.any(-1)], weights, settings)

    Loop(
        networks={"classifier": classifier},
        optimizer=optimizer,
        loss=loss,
        factor=warm_cosine,
        clip=1.0,
        title=title,
        after_epoch=lambda _: evaluate(classifier) if evaluate is not None else "",
    ).run(
        settings.epochs,
        lambda _: (
            math.ceil(len(learning) / settings.batch),
            _batches(learning, window, settings),
        ),
    )
    classifier.eval()


def _batches(
    dialogues: Sequence[LabelledDialogue], window: int | None, settings: StageSettings
) -> Iterator[tuple[WindowBatch, Tensor]]:
    """Yield windows and targets [B, classes], or [B, L, classes] where a window is a whole dialogue, of one epoch."""
    order = torch.randperm(len(dialogues)).tolist()
    for start in range(0, len(order), settings.batch):
        chosen = [dialogues[i] for i in order[start : start + settings.batch]]
        if window is None:
            wholes = WindowBatch.joined([dialogue.drawn(settings).whole() for dialogue in chosen])
            padded = nn.utils.rnn.pad_sequence([d.targets for d in chosen], batch_first=True)
            yield wholes, padded
            continue
        parts, targets = [], []
        for dialogue in chosen:
            shorter = float(torch.rand(())) < settings.shorten
            size = int(torch.randint(1, window + 1, ())) if shorter else window
            with_loss = dialogue.targets.any(-1)
            parts.append(_rows(dialogue.drawn(settings).windows(size), with_loss))
            targets.append(dialogue.targets[with_loss])
        yield WindowBatch.joined(parts), torch.cat(targets)


def _rows(windows: WindowBatch, keep: Tensor) -> WindowBatch:
    return WindowBatch(*(getattr(windows, name)[keep] for name in WindowBatch.__slots__))


def _any_version(versions: Tensor, dropout: float) -> Tensor:
    """Draw a version of each utterance: [versions, N, D] -> [N, D]."""
    count, utterances = versions.shape[:2]
    chosen = versions[torch.randint(count, (utterances,)), torch.arange(utterances)]
    return nn.functional.dropout(chosen, dropout)


def _class_weights(dialogues: Sequence[LabelledDialogue], power: float) -> Tensor:
    """Return weights of the classes, whose mean over the utterances is 1."""
    if not dialogues:
        raise ValueError("no utterance has a label to learn from")
    counts = torch.cat([dialogue.targets for dialogue in dialogues]).sum(0)
    weights = (counts.sum() / counts.clamp(min=1)) ** power
    return weights * counts.sum() / (weights * counts).sum()


def _loss(logits: Tensor, targets: Tensor, weights: Tensor, settings: StageSettings) -> Tensor:
    """Return the cross-entropy of soft targets [n, classes], smoothed and weighted."""
    smoothing = settings.label_smoothing
    smooth = (1 - smoothing) * targets + smoothing / targets.shape[-1]
    each = -(smooth * logits.log_softmax(-1)).sum(-1)
    return (each * (targets @ weights)).mean()

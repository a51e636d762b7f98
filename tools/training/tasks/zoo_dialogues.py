"""Systems of the zoo in conversation: the stage that learns what past utterances say about the present one."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamer_models.contract import UtteranceEmbedding
from streamer_models.sequences import Utterances
from streamer_models.zoo.base import UtteranceSystem
from streamer_models.zoo.past import PastContext
from tools.training.loop import StagePace, fit

UNKNOWN = -100
_BATCH = 64


@dataclass(frozen=True)
class Dialogue:
    """A dialogue of embedded utterances.

    Attributes:
        name: Unique.
        said: In order; one that lacks everything is kept as context.
        labels: Class of each, or `UNKNOWN`.
        ratings: Valence and arousal of each in [-1, 1], NaN where unknown; empty where nobody rated.
    """

    name: str
    said: list[UtteranceEmbedding]
    labels: list[int]
    ratings: list[tuple[float, float]] = field(default_factory=list)


CONTEXT_PACE = StagePace(batch=64, learning_rate=2e-3)
"""Of the stage."""


@dataclass(frozen=True)
class Vectors:
    """Dialogues as the vectors that a system's heads take, by frozen weights.

    Attributes:
        rows: [utterances, width] of each dialogue.
        speakers: Of each utterance.
        labels: Of each utterance.
        names: Of the dialogues.
    """

    rows: list[Tensor]
    speakers: list[list[int]]
    labels: list[list[int]]
    names: list[str]

    @classmethod
    @torch.inference_mode()
    def of(cls, model: UtteranceSystem, dialogues: Sequence[Dialogue]) -> "Vectors":
        """By a model in evaluation mode."""
        said = [each for dialogue in dialogues for each in dialogue.said]
        parts = [
            model.fused(
                Utterances.of(
                    [(each,) for each in said[start : start + _BATCH]],
                    model.config.sizes,
                    model.device,
                )
            )
            for start in range(0, len(said), _BATCH)
        ]
        rows = torch.split(torch.cat(parts), [len(dialogue.said) for dialogue in dialogues])
        return cls(
            [row.clone() for row in rows],
            [[each.speaker for each in dialogue.said] for dialogue in dialogues],
            [dialogue.labels for dialogue in dialogues],
            [dialogue.name for dialogue in dialogues],
        )

    @property
    def places(self) -> list[tuple[int, int]]:
        """Dialogue and number of each labelled utterance."""
        return [
            (dialogue, number)
            for dialogue, labels in enumerate(self.labels)
            for number, label in enumerate(labels)
            if label != UNKNOWN
        ]

    def truth(self, places: Sequence[tuple[int, int]]) -> Tensor:
        """Classes, int64 [n]."""
        return torch.tensor([self.labels[dialogue][number] for dialogue, number in places])

    def windows(
        self, places: Sequence[tuple[int, int]], size: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return what `PastContext` takes: the windows of at most `size` utterances that end at some places."""
        lengths = torch.tensor([min(number + 1, size) for _, number in places])
        longest = int(lengths.max())
        vectors = torch.zeros(len(places), longest, self.rows[0].shape[1])
        same = torch.zeros(len(places), longest, dtype=torch.bool)
        for row, ((dialogue, number), length) in enumerate(
            zip(places, lengths.tolist(), strict=True)
        ):
            begin, speakers = number + 1 - length, self.speakers[dialogue]
            vectors[row, :length] = self.rows[dialogue][begin : number + 1]
            same[row, :length] = torch.tensor(
                [speaker == speakers[number] for speaker in speakers[begin : number + 1]]
            )
        return vectors, same, lengths


def learn_context(
    model: UtteranceSystem,
    vectors: Vectors,
    settings: StagePace,
    *,
    kept: Path,
    identity: Mapping[str, Any],
    seed: int,
) -> None:
    """Train the model's `past`; all else stays as it is.

    Args:
        model: Made with `context`, and trained.
        vectors: By this model, of the dialogues to learn from.
        settings: Pace.
        kept: File of the state after each epoch.
        identity: All that the result depends on.
        seed: Of everything random.
    """
    past, places = _past(model), vectors.places
    truth = vectors.truth(places)
    counts = torch.bincount(truth, minlength=len(model.labels)).clamp(min=1)
    weights = len(truth) / (len(model.labels) * counts)

    def loss(batch: list[int]) -> Tensor:
        shifted = past(*vectors.windows([places[i] for i in batch], model.window))
        return nn.functional.cross_entropy(model.classifier(shifted), truth[batch], weights)

    fit(
        past,
        range(len(places)),
        loss,
        settings,
        kept=kept,
        identity=identity,
        seed=seed,
        title="context",
    )
    past.eval()


@torch.inference_mode()
def context_scores(model: UtteranceSystem, vectors: Vectors, *, size: int) -> Tensor:
    """Logits [n, classes] of the labelled utterances, in windows of at most `size`; 1: each by itself."""
    return torch.cat(list(_scored(model, vectors, size)))


def _scored(model: UtteranceSystem, vectors: Vectors, size: int) -> Iterator[Tensor]:
    past, places = _past(model), vectors.places
    for start in range(0, len(places), _BATCH):
        batch = vectors.windows(places[start : start + _BATCH], size)
        yield model.scored(past(*batch)).logits


def _past(model: UtteranceSystem) -> PastContext:
    if model.past is None:
        raise ValueError(f"{model.name}: made without context")
    return model.past

"""The head of the Whisper encoder and a linear classifier, trained on statistics of labelled and of calm speech."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from streamer_models.encoders.whisper import StatisticsHead, WhisperConfig
from tools.data.manifest import Clip
from tools.training.loop import Loop, warm_cosine
from tools.training.resume import Unfinished

CALM_TARGET = 0.85
"""Probability of neutral for speech that is assumed to be calm; nobody has labelled it."""


@dataclass(frozen=True)
class HeadSettings:
    """All that could be chosen otherwise.

    Attributes:
        draws: Pieces drawn in an epoch.
        smoothing: Share of each target that is spread over the classes.
        mixup: Both parameters of the beta distribution of mixup (Zhang et al., 2018).
        calm: Share of the draws that is calm speech.
        votes: Weight of the listeners' votes against the acted label, where there are votes.
    """

    epochs: int = 12
    draws: int = 24_000
    batch: int = 128
    learning_rate: float = 1e-3
    weight_decay: float = 0.02
    smoothing: float = 0.05
    mixup: float = 0.3
    calm: float = 0.2
    votes: float = 0.4
    hidden: int = 384
    dropout: float = 0.3
    score_dropout: float = 0.3


@dataclass(frozen=True)
class Examples:
    """Statistics to learn from.

    Attributes:
        statistics: float16 [n, values].
        targets: Probabilities of the classes, float32 [n, classes].
        weights: How often each is drawn, float64 [n], summing to 1.
    """

    statistics: Tensor
    targets: Tensor
    weights: NDArray[np.float64]


class Scorer(nn.Module):
    """Statistics -> embedding -> scores of the classes."""

    def __init__(self, config: WhisperConfig, classes: int, dropout: float) -> None:
        super().__init__()
        inputs = 2 * len(config.pooled) * config.width
        self.head = StatisticsHead(inputs, config.hidden, config.embedding, config.dropout)
        self.scores = nn.Linear(config.embedding, classes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, statistics: Tensor) -> Tensor:
        """Statistics [B, values] -> logits [B, classes]."""
        out: Tensor = self.scores(self.dropout(self.head(statistics)))
        return out


def train_scorer(
    config: WhisperConfig,
    examples: Examples,
    settings: HeadSettings,
    *,
    seed: int,
    kept: Path,
    title: str,
) -> Scorer:
    """Train head and classifier; an interrupted run is resumed.

    Args:
        config: Of the encoder.
        examples: To learn from.
        settings: How.
        seed: Of everything random.
        kept: File of the state after each epoch; removed at the end.
        title: Of the progress bar.
    """
    torch.manual_seed(seed)
    scorer = Scorer(config, examples.targets.shape[1], settings.score_dropout)
    _standardise(scorer.head, examples)
    group = {"params": list(scorer.parameters()), "peak": settings.learning_rate}
    optimizer = torch.optim.AdamW(
        [group], settings.learning_rate, weight_decay=settings.weight_decay
    )

    def loss(batch: tuple[Tensor, Tensor]) -> Tensor:
        x, targets = _mixed(*batch, settings.mixup)
        smooth = (1 - settings.smoothing) * targets + settings.smoothing / targets.shape[1]
        losses: Tensor = -(smooth * scorer(x).log_softmax(dim=-1)).sum(dim=-1)
        return losses.mean()

    def batches(epoch: int) -> tuple[int, Iterator[tuple[Tensor, Tensor]]]:
        rng = np.random.default_rng((seed, epoch, 3))
        count = settings.draws // settings.batch
        drawn = rng.choice(len(examples.weights), count * settings.batch, p=examples.weights)
        parts = torch.from_numpy(drawn).view(count, settings.batch)
        return count, ((examples.statistics[p].float(), examples.targets[p]) for p in parts)

    unfinished = Unfinished(kept, {"scorer": scorer}, optimizer)
    identity = {"seed": seed, "n": len(examples.weights), "settings": repr(settings)}
    Loop({"scorer": scorer}, optimizer, loss, warm_cosine, 5.0, title, seed).run(
        settings.epochs,
        batches,
        unfinished=unfinished,
        identity=identity,
        begin=unfinished.take_up(identity),
    )
    unfinished.forget()
    return scorer.eval()


@torch.inference_mode()
def embed(scorer: Scorer, statistics: Tensor) -> Tensor:
    """Embeddings [n, embedding] of statistics [n, values]."""
    starts = range(0, len(statistics), 1024)
    return torch.cat([scorer.head(statistics[start : start + 1024].float()) for start in starts])


def balanced(clips: Sequence[Clip], classes: Sequence[int]) -> NDArray[np.float64]:
    """Return how often each labelled clip is drawn, [n], summing to 1.

    Corpora by the square root of their size, less where fewer than four speakers stand for it; within a corpus its
    classes equally.

    Args:
        clips: n clips.
        classes: Of each clip.
    """
    corpora = Counter(clip.corpus for clip in clips)
    pairs = list(zip((clip.corpus for clip in clips), classes, strict=True))
    cells = Counter(pairs)
    kinds = Counter(corpus for corpus, _ in cells)
    people = Counter(corpus for corpus, _ in {(clip.corpus, clip.speaker) for clip in clips})
    weights = np.array(
        [
            corpora[corpus] ** 0.5 * min(1.0, people[corpus] / 4) / (kinds[corpus] * cells[pair])
            for pair in pairs
            for corpus in pair[:1]
        ]
    )
    return np.asarray(weights / weights.sum())


def balanced_calm(clips: Sequence[Clip]) -> NDArray[np.float64]:
    """Return the same of calm speech: each corpus by the square root of its size."""
    corpora = Counter(clip.corpus for clip in clips)
    weights = np.array([corpora[clip.corpus] ** -0.5 for clip in clips])
    return np.asarray(weights / weights.sum())


def _standardise(head: StatisticsHead, examples: Examples) -> None:
    values = examples.statistics.float()
    head.mean.copy_(values.mean(dim=0))
    head.deviation.copy_(values.std(dim=0) + 1e-4)


def _mixed(x: Tensor, targets: Tensor, mixup: float) -> tuple[Tensor, Tensor]:
    """Convex combinations of the examples of a batch and of their targets, by torch's random numbers."""
    if not mixup:
        return x, targets
    parameter = torch.tensor(mixup)
    share = float(torch.distributions.Beta(parameter, parameter).sample())
    order = torch.randperm(len(x))
    return share * x + (1 - share) * x[order], share * targets + (1 - share) * targets[order]

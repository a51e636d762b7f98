"""Atmaja & Akagi, "Multitask learning and multistage fusion for dimensional audiovisual emotion recognition".

ICASSP 2020. LSTMs of 256, 128 and 64 cells learn dimensions together by the concordance correlation coefficient; the
predictions of several such models, over a context of frames, are fused by support vector regression, stage after stage.

Deviations: liking is not a dimension here, so alpha = 0.7 weighs arousal and beta = 0.2 valence; one prediction for
each utterance; a stage sees past utterances only (the paper's code: 11 to 19 frames, future ones too); categories are
classified beside the dimensions, as every system here does.
"""

from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from streamer_models.config import Dimension, Probability, Width
from streamer_models.heads.dimensions import concordance_loss
from streamer_models.layers.recurrent import last_real
from streamer_models.sequences import Sequences, Utterances
from streamer_models.zoo.base import Targets, UtteranceConfig, UtteranceSystem

WEIGHTS = {"arousal": 0.7, "valence": 0.2}


class Atmaja2020Config(UtteranceConfig):
    """Sizes; the defaults are the paper's."""

    dimensions: Annotated[tuple[Dimension, ...], Field(min_length=1, max_length=2)] = (
        "valence",
        "arousal",
    )
    hidden: Annotated[tuple[Width, ...], Field(min_length=1, max_length=6)] = (256, 128, 64)
    dropout: Probability = 0.4
    categories: Annotated[float, Field(ge=0, le=10)] = 0.5
    """Weight of the cross-entropy of the categories."""


class Atmaja2020(UtteranceSystem):
    """A stack of LSTMs for each modality; their last states together are what the heads take."""

    name: ClassVar = "atmaja2020"
    config_class: ClassVar = Atmaja2020Config

    def __init__(self, config: Atmaja2020Config) -> None:
        super().__init__(config)
        audio, text, _ = config.sizes
        self.audio_lstms = Lstms(audio, config.hidden, config.dropout)
        self.text_lstms = Lstms(text, config.hidden, config.dropout)
        self.add_heads(2 * config.hidden[-1])

    def fused(self, batch: Utterances) -> Tensor:
        """[B, 2 * last hidden]; zero for a modality that is missing."""
        return torch.cat([self.audio_lstms(batch.audio), self.text_lstms(batch.text)], dim=-1)

    def loss(self, batch: Utterances, targets: Targets) -> Tensor:
        """Return alpha (1 - CCC arousal) + beta (1 - CCC valence), and the categories' cross-entropy."""
        scores = self.forward(batch)
        loss = scores.logits.new_zeros(())
        if bool((targets.labels >= 0).any()):
            entropy = nn.functional.cross_entropy(scores.logits, targets.labels)
            loss = loss + self.config.categories * entropy
        if scores.dimensions is not None and targets.dimensions is not None:
            weights = scores.logits.new_tensor([WEIGHTS[d] for d in self.config.dimensions])
            loss = loss + concordance_loss(scores.dimensions, targets.dimensions, weights)
        return loss


class Lstms(nn.Module):
    """LSTMs one after the other, with dropout after each."""

    def __init__(self, inputs: int, hidden: tuple[int, ...], dropout: float) -> None:
        super().__init__()
        sizes = zip((inputs, *hidden), hidden, strict=False)
        self.layers = nn.ModuleList(nn.LSTM(a, b, batch_first=True) for a, b in sizes)
        self.dropout = nn.Dropout(dropout)

    def forward(self, sequences: Sequences) -> Tensor:
        """Return the last state of each sequence, [B, last hidden]."""
        x = sequences.values
        for layer in self.layers:
            x = self.dropout(layer(x)[0])
        lengths = sequences.mask.sum(1).clamp(min=1)
        return last_real(x, lengths) * sequences.present[:, None]


class MultistageFusion(nn.Module):
    """Linear stages over predictions: each sees those of the stage before, of the present and the past utterances.

    Args:
        inputs: Predictions that come in, of all models and dimensions.
        dimensions: Predictions that each stage makes.
        stages: Number of stages.
        context: Past utterances that a stage sees beside the present one.
    """

    def __init__(self, inputs: int, dimensions: int, *, stages: int = 5, context: int = 4) -> None:
        super().__init__()
        self.context = context
        sizes = [inputs, *[dimensions] * (stages - 1)]
        self.stages = nn.ModuleList(nn.Linear((context + 1) * s, dimensions) for s in sizes)

    def forward(self, predictions: Tensor) -> Tensor:
        """Map predictions [N, inputs] of the utterances of a conversation, in order -> [N, dimensions]."""
        x = predictions
        for stage in self.stages:
            x = stage(self.with_past(x))
        return x

    def with_past(self, x: Tensor) -> Tensor:
        """Return each row beside those before it, [N, (context + 1) * D]; zeros before the first."""
        padded = nn.functional.pad(x, (0, 0, self.context, 0))
        return padded.unfold(0, self.context + 1, 1).flatten(1)

    def fit(
        self, predictions: Tensor, truth: Tensor, *, c: float = 1.0, epsilon: float = 0.01
    ) -> None:
        """Fit stage after stage by linear support vector regression.

        Minimises |w|^2 / 2 + c sum max(0, |error| - epsilon), by L-BFGS on its squared hinge.

        Args:
            predictions: [N, inputs] of one conversation, or of several with `context` zero rows between them.
            truth: [N, dimensions]; rows with NaN are not fitted.
            c: Weight of the errors.
            epsilon: Errors that are none.
        """
        x = predictions
        for stage in self.stages:
            features = self.with_past(x)
            known = truth.isfinite().all(1)
            _fit_linear(stage, features[known], truth[known], c, epsilon)
            with torch.no_grad():
                x = stage(features)


def _fit_linear(stage: nn.Module, x: Tensor, y: Tensor, c: float, epsilon: float) -> None:
    assert isinstance(stage, nn.Linear)  # noqa: S101 - made above
    nn.init.zeros_(stage.weight)
    nn.init.zeros_(stage.bias)
    optimizer = torch.optim.LBFGS(stage.parameters(), max_iter=200, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        excess = ((stage(x) - y).abs() - epsilon).clamp(min=0)
        loss: Tensor = stage.weight.square().sum() / 2 + c * excess.square().sum()
        torch.autograd.backward(loss)
        return loss

    optimizer.step(closure)  # type: ignore[no-untyped-call]

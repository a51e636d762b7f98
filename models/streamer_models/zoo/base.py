"""Base of the systems of the zoo that classify an utterance by its frames and tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from streamer_models import registry
from streamer_models.config import AudioConfig, Probability, SystemConfig, TextConfig
from streamer_models.contract import Scores, Window
from streamer_models.encoders.bert_tokens import BertTokensConfig
from streamer_models.encoders.mel_frames import MelFramesConfig
from streamer_models.heads.dimensions import DimensionHead, concordance_loss
from streamer_models.memory import ConversationState
from streamer_models.sequences import Utterances
from streamer_models.zoo.past import PastContext


class UtteranceConfig(SystemConfig):
    """Encoders of frames and tokens."""

    audio: AudioConfig | None = MelFramesConfig()
    text: TextConfig | None = BertTokensConfig()
    dropout: Probability = 0.3
    context: Annotated[int, Field(ge=1, le=64)] = 1
    """Utterances that one is classified with, itself counted, the others before it; ours, where a paper has none."""

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Sizes of an audio, text and video vector; 1 where there is no encoder."""
        audio, text = (1 if part is None else part.embedding for part in (self.audio, self.text))
        return audio, text, 1


@dataclass(frozen=True)
class Targets:
    """Targets of a batch of B utterances."""

    labels: Tensor
    """Classes, int64 [B]; -100 where unknown."""
    speakers: Tensor | None = None
    """int64 [B]."""
    corpora: Tensor | None = None
    """int64 [B]."""
    dimensions: Tensor | None = None
    """[B, D]; NaN where unknown."""
    sounds: Tensor | None = None
    """Kind of sound, int64 [B]; -100 where unknown."""


class UtteranceSystem(nn.Module):
    """A system that classifies each utterance by itself or, with `context`, by those before it, too.

    A subclass sets `name` and `config_class`, builds its layers, ends with `self.add_heads(width)`, and gives the
    vector that the heads take in `fused`. Any modality may be missing.

    Args:
        config: Of the whole system.
    """

    name: ClassVar[str]
    config_class: ClassVar[Any]

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.audio = registry.make_audio_encoder(config.audio)
        self.text = registry.make_text_encoder(config.text)
        self.dimensions: DimensionHead | None = None
        self.past: PastContext | None = None

    def add_heads(self, width: int) -> None:
        """Add classifier and dimensions over vectors of a size."""
        self.dropout = nn.Dropout(self.config.dropout)
        self.classifier = nn.Linear(width, len(self.labels))
        dimensions = len(self.config.dimensions)
        self.dimensions = DimensionHead(width, dimensions) if dimensions else None
        self.past = PastContext(width) if self.config.context > 1 else None

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, in the order of the logits."""
        labels: tuple[str, ...] = self.config.labels
        return labels

    @property
    def window(self) -> int:
        """Utterances in a window."""
        size: int = self.config.context
        return size

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return next(self.parameters()).device

    def classify(self, windows: Sequence[Window]) -> Scores:
        """Score the last utterance of each window, one by one: the others' lengths change no bit of its scores."""
        alone = [self.classified(window) for window in windows]
        dimensions = [each.dimensions for each in alone if each.dimensions is not None]
        sounds = [each.sounds for each in alone if each.sounds is not None]
        return Scores(
            torch.cat([each.logits for each in alone]),
            torch.cat(dimensions) if dimensions else None,
            torch.cat(sounds) if sounds else None,
        )

    def forward(self, batch: Utterances) -> Scores:
        """Score utterances, each by itself."""
        return self.scored(self.fused(batch))

    def scored(self, vectors: Tensor) -> Scores:
        """Return scores of utterances by their vectors [B, width]."""
        fused = self.dropout(vectors)
        dimensions = None if self.dimensions is None else self.dimensions(fused)
        return Scores(self.classifier(fused), dimensions)

    def classified(self, window: Window) -> Scores:
        """Score the last utterance of a window."""
        if self.past is None or len(window) == 1:
            return self.forward(self.alone(window))
        vectors = torch.cat([self.fused(self.alone((each,))) for each in window])
        same = torch.tensor([[each.speaker == window[-1].speaker for each in window]])
        lengths = torch.tensor([len(window)])
        return self.scored(self.past(vectors[None], same.to(self.device), lengths))

    def alone(self, window: Window) -> Utterances:
        """Return the last utterance of a window, as a batch."""
        return Utterances.of([window], self.config.sizes, self.device)

    def loss(self, batch: Utterances, targets: Targets) -> Tensor:
        """Return the mean loss of a batch: cross-entropy, and 1 - CCC of dimensions that are estimated."""
        scores = self.forward(batch)
        loss = nn.functional.cross_entropy(scores.logits, targets.labels)
        if scores.dimensions is not None and targets.dimensions is not None:
            weights = torch.ones(targets.dimensions.shape[1], device=loss.device)
            loss = loss + concordance_loss(scores.dimensions, targets.dimensions, weights)
        return loss

    def fused(self, batch: Utterances) -> Tensor:
        """Return one vector for each utterance, [B, width]."""
        raise NotImplementedError

    def new_state(self) -> ConversationState:
        """Return the memory of a conversation that begins."""
        return ConversationState(self.window)

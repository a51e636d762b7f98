"""Late fusion: scores of each modality, weighted by what an utterance has, and moved by the scores of those before it.

After Padi et al., "Multimodal emotion recognition using transfer learning from speaker recognition and BERT-based
models" (Odyssey 2022), who add the scores of an audio and a text network. Deviations: the weights depend on the
modalities present, past utterances of the same and of other speakers shift the scores, and valence and arousal are
estimated. A modality alone, without a past, is classified as its own classifier would.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from streamer_models import registry
from streamer_models.config import AudioConfig, SystemConfig, TextConfig, Width
from streamer_models.contract import Scores, Window
from streamer_models.encoders.bert_gru import BertGruConfig
from streamer_models.encoders.whisper import WhisperConfig
from streamer_models.heads.dimensions import DimensionHead
from streamer_models.memory import ConversationState
from streamer_models.windows import WindowBatch

_AUDIO, _TEXT, _BOTH = 0, 1, 2


class LateFusionConfig(SystemConfig):
    """Sizes."""

    audio: AudioConfig | None = WhisperConfig()
    text: TextConfig | None = BertGruConfig()
    embedding: Width = 100
    """Size of an utterance's embedding in each modality."""
    window: Annotated[int, Field(ge=1, le=512)] = 8
    """Utterances that one is classified with, itself counted, the others before it."""
    decay: Annotated[float, Field(ge=0, le=1)] = 0.7
    """Weight of a past utterance relative to the one after it."""

    @model_validator(mode="after")
    def _consistent(self) -> "LateFusionConfig":
        for name, part in (("audio", self.audio), ("text", self.text)):
            if part is not None and part.embedding != self.embedding:
                raise ValueError(f"{name}.embedding must equal embedding")
        return self


class ScoreFusion(nn.Module):
    """Windows of scores of both modalities -> scores of the present utterance."""

    def __init__(self, classes: int, decay: float) -> None:
        super().__init__()
        self.decay = decay
        self.weights = nn.Parameter(nn.init.ones_(torch.empty(3, 2)))
        """Of the audio and the text scores where an utterance has audio, text, or both."""
        self.bias = nn.Parameter(nn.init.zeros_(torch.empty(3, classes)))
        self.past = nn.Linear(4 * classes, classes, bias=False)
        nn.init.zeros_(self.past.weight)

    def forward(self, windows: WindowBatch) -> Tensor:
        """Map windows of scores [B, L, classes] -> scores [B, classes] of their last utterances."""
        has = torch.stack([windows.has_audio, windows.has_text]) & windows.mask
        scores = torch.where(has[..., None], torch.stack([windows.audio, windows.text]), 0.0)
        last, rows = _last(windows)
        here = has[:, rows, last]
        kind = torch.where(here.all(dim=0), _BOTH, torch.where(here[1], _TEXT, _AUDIO))
        present = (self.weights[kind].T[..., None] * scores[:, rows, last]).sum(dim=0)
        shift: Tensor = self.past(self._history(windows, scores, has))
        return present + shift + self.bias[kind]

    def _history(self, windows: WindowBatch, scores: Tensor, has: Tensor) -> Tensor:
        """Return decayed means [B, 4 * classes] of past probabilities: by the speaker, by others, audio, text."""
        probabilities = scores.softmax(dim=-1)
        last, _ = _last(windows)
        ages = last[:, None] - torch.arange(windows.mask.shape[1], device=last.device)
        weight = self.decay ** ages.clamp(min=0) * (ages > 0)
        means = []
        for who in (windows.same_speaker, ~windows.same_speaker):
            each = weight * who * has
            total = each.sum(dim=-1, keepdim=True)
            means.append((each[..., None] * probabilities).sum(dim=2) / total.clamp(min=1e-6))
        return torch.cat([part for mean in means for part in mean], dim=-1)


class LateFusion(nn.Module):
    """Utterances of a conversation -> scores of the present one."""

    name: ClassVar = "late_fusion"
    config_class: ClassVar = LateFusionConfig

    def __init__(self, config: LateFusionConfig) -> None:
        super().__init__()
        self.config = config
        classes = len(config.labels)
        self.audio = registry.make_audio_encoder(config.audio)
        self.text = registry.make_text_encoder(config.text)
        self.audio_scores = nn.Linear(config.embedding, classes)
        self.text_scores = nn.Linear(config.embedding, classes)
        self.fusion = ScoreFusion(classes, config.decay)
        self.dimensions = (
            DimensionHead(2 * config.embedding, len(config.dimensions))
            if config.dimensions
            else None
        )

    @property
    def window(self) -> int:
        """Utterances in a window."""
        return self.config.window

    def classify(self, windows: Sequence[Window]) -> Scores:
        """Score the last utterance of each window."""
        device = self.fusion.bias.device
        return self.score(WindowBatch.of(windows, self.config.embedding, device))

    def new_state(self) -> ConversationState:
        """Return the memory of a conversation that begins."""
        return ConversationState(self.config.window)

    def score(self, windows: WindowBatch) -> Scores:
        """Score the present, which is the last, utterance of each window."""
        audio, text = self.audio_scores(windows.audio), self.text_scores(windows.text)
        logits: Tensor = self.fusion(replace(windows, audio=audio, text=text))
        return Scores(logits, self._dimensions(windows))

    def last(self, windows: WindowBatch) -> Tensor:
        """Return logits [B, classes] of the present, which is the last, utterance of each window."""
        return self.score(windows).logits

    def _dimensions(self, windows: WindowBatch) -> Tensor | None:
        if self.dimensions is None:
            return None
        last, rows = _last(windows)
        present = [
            torch.where(has[rows, last, None], embedding[rows, last], 0.0)
            for embedding, has in (
                (windows.audio, windows.has_audio),
                (windows.text, windows.has_text),
            )
        ]
        out: Tensor = self.dimensions(torch.cat(present, dim=-1))
        return out


def _last(windows: WindowBatch) -> tuple[Tensor, Tensor]:
    """Return the place of the present utterance in each window, and the windows' numbers."""
    last = windows.mask.sum(dim=1) - 1
    return last, torch.arange(len(last), device=last.device)

"""Hsu et al., "Speech emotion recognition considering nonverbal vocalization in affective conversations" (TASLP 2021).

An utterance is cut into segments; one network extracts features of emotion, another those of the kind of sound (verbal,
laugh, breath, ...); an LSTM with attention reads the sequence of both.

Deviations: segments of equal length instead of prosodic phrases; small convolutional networks instead of ResNet18; the
LSTM and the attention see the past only (the paper's encoder is bidirectional). Trained here on acted speech and on
clips without words apart, as there was no conversation in which laughs and cries are marked. Live, an utterance that
is rather one of the other kinds than speech is a `sound` event, too.
"""

from dataclasses import replace
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from streamer_models.config import Label, TextConfig, Width
from streamer_models.contract import Scores, Window
from streamer_models.layers.masking import masked_mean, masked_softmax
from streamer_models.layers.recurrent import last_real
from streamer_models.sequences import Utterances
from streamer_models.zoo.base import Targets, UtteranceConfig, UtteranceSystem
from streamer_models.zoo.gao2021 import segmented


class Hsu2021Config(UtteranceConfig):
    """Sizes of extractors and sequence model."""

    text: TextConfig | None = None
    segment: Annotated[int, Field(ge=1, le=200)] = 16
    """Frames of a segment: about half a second."""
    emotion: Width = 96
    """Size of a segment's features of emotion."""
    sound: Width = 32
    hidden: Width = 128
    sounds: Annotated[tuple[Label, ...], Field(min_length=2, max_length=32)] = (
        "speech",
        "laugh",
        "cry",
        "sigh",
        "cough",
    )
    """Kinds of sound; the first is speech."""


class Hsu2021(UtteranceSystem):
    """Features of emotion and sound for each segment, read by an LSTM with attention to the past."""

    name: ClassVar = "hsu2021"
    config_class: ClassVar = Hsu2021Config

    def __init__(self, config: Hsu2021Config) -> None:
        super().__init__(config)
        bands = config.sizes[0]
        self.emotion = Extractor(bands, config.emotion)
        self.sound = Extractor(bands, config.sound)
        self.sound_classifier = nn.Linear(config.sound, len(config.sounds))
        self.lstm = nn.LSTM(config.emotion + config.sound, config.hidden, batch_first=True)
        self.attention = PastAttention(config.hidden)
        self.add_heads(2 * config.hidden)

    def fused(self, batch: Utterances) -> Tensor:
        """Return the state after the last segment beside what it attends to, [B, 2 * hidden]."""
        outputs, mask = self.outputs(batch)
        last = last_real(outputs, mask.sum(1).clamp(min=1))
        return last * mask.any(1)[:, None]

    def outputs(self, batch: Utterances) -> tuple[Tensor, Tensor]:
        """Return what is known after each segment, [B, S, 2 * hidden], and which are real, bool [B, S]."""
        emotion, sound, mask = self.features(batch)
        states, _ = self.lstm(torch.cat([emotion, sound], dim=-1))
        return torch.cat([states, self.attention(states, mask)], dim=-1), mask

    def features(self, batch: Utterances) -> tuple[Tensor, Tensor, Tensor]:
        """Return features of emotion and of sound of each segment, [B, S, size] each, and their mask."""
        segments = segmented(batch.audio, self.config.segment)
        rows, count = segments.values.shape[:2]
        images = segments.values.view(rows * count, self.config.segment, -1)
        parts = [extract(images).view(rows, count, -1) for extract in (self.emotion, self.sound)]
        return parts[0], parts[1], segments.mask

    def classified(self, window: Window) -> Scores:
        """Score the last utterance of a window, and its kind of sound, if it was heard."""
        scores, batch = super().classified(window), self.alone(window)
        if not bool(batch.audio.mask.any()):
            return scores
        return replace(scores, sounds=self.utterance_sounds(batch))

    def sounds(self, batch: Utterances) -> Tensor:
        """Return logits of the kind of sound of each segment, [B, S, kinds]."""
        logits: Tensor = self.sound_classifier(self.features(batch)[1])
        return logits

    def utterance_sounds(self, batch: Utterances) -> Tensor:
        """Return logits of the kind of sound of each utterance, by the mean over its segments, [B, kinds]."""
        _, sound, mask = self.features(batch)
        logits: Tensor = self.sound_classifier(masked_mean(sound, mask))
        return logits

    def loss(self, batch: Utterances, targets: Targets) -> Tensor:
        """Return the emotion's loss where it is known, and the sound's, of the mean over an utterance's segments."""
        loss = batch.audio.values.new_zeros(())
        if bool((targets.labels >= 0).any()):
            loss = loss + super().loss(batch, targets)
        if targets.sounds is not None and bool((targets.sounds >= 0).any()):
            kinds = self.utterance_sounds(batch)
            loss = loss + nn.functional.cross_entropy(kinds, targets.sounds)
        return loss


class Extractor(nn.Module):
    """A segment's frames -> its features, by convolutions over time and a mean."""

    def __init__(self, bands: int, size: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv1d(bands, size, 5, padding=2),
            nn.ReLU(),
            nn.Conv1d(size, size, 3, padding=1),
            nn.ReLU(),
            nn.AdaptiveAvgPool1d(1),
            nn.Flatten(),
        )

    def forward(self, frames: Tensor) -> Tensor:
        """[N, frames, bands] -> [N, size]."""
        out: Tensor = self.layers(frames.transpose(1, 2))
        return out


class PastAttention(nn.Module):
    """Additive attention (Bahdanau et al., 2015) of each state to itself and those before."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width, bias=False)
        self.score = nn.Linear(width, 1, bias=False)

    def forward(self, states: Tensor, mask: Tensor) -> Tensor:
        """Map states [B, S, width] and which are real [B, S] -> [B, S, width]."""
        pairs = torch.tanh(self.query(states)[:, :, None] + self.key(states)[:, None])
        scores = self.score(pairs)[..., 0]
        seen = mask[:, None] & torch.ones_like(scores, dtype=torch.bool).tril()
        return masked_softmax(scores, seen) @ states

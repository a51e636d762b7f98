"""Log-mel frames through the network's CNN, and acoustic statistics: an audio encoder for data without waveforms."""

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from streamer_models.encoders.leaf_cnn import ConvolutionalEncoder
from tools.data.iemocap import BANDS, Features, Utterance
from tools.training.precision import reduced_precision

_LARGEST = 4.0
"""Statistics are cut off at so many standard deviations."""
_PRIOR = 2.0
"""Utterances that the population's mean counts for, in a speaker's mean so far."""


class AcousticEncoder(nn.Module):
    """Log-mel frames and statistics of an utterance -> its embedding.

    Statistics come twice: standardised, and as the difference from the mean of what the same person said before in the
    same dialogue. The latter looks at the past only.

    Args:
        statistics: How many.
        embedding: Size of the embedding.
        convolutional: False: frames are not looked at.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, statistics: int, embedding: int, *, convolutional: bool = True) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(statistics))
        self.register_buffer("deviation", torch.ones(statistics))
        self.cnn = ConvolutionalEncoder(BANDS, embedding) if convolutional else None
        hidden = 256
        self.statistics = nn.Sequential(
            nn.Dropout(0.2), nn.Linear(2 * statistics, hidden), nn.ReLU(), nn.Dropout(0.4)
        )
        self.projection = nn.Linear(hidden + (embedding if convolutional else 0), embedding)

    def standardise(self, statistics: Tensor) -> Tensor:
        """Map statistics [..., S], nan where unknown -> the same in standard deviations, 0 where unknown."""
        scaled = (statistics - self.mean) / self.deviation
        return scaled.nan_to_num(0.0).clamp(-_LARGEST, _LARGEST)

    def forward(self, frames: Tensor, counts: Tensor, statistics: Tensor) -> Tensor:
        """Embed utterances.

        Args:
            frames: Log-mel [B, 64, F], scaled to about unit variance.
            counts: Valid frames of each, int64 [B].
            statistics: [B, 2 S], of `with_past`.

        Returns:
            [B, embedding].
        """
        parts = [self.statistics(statistics)]
        if self.cnn is not None:
            with reduced_precision(wanted=self.training):
                parts.append(self.cnn(frames, counts).float())
        out: Tensor = self.projection(torch.cat(parts, dim=1))
        return out


def with_past(statistics: Tensor, speakers: Sequence[str]) -> Tensor:
    """Map standardised statistics [N, S] of a dialogue -> [N, 2 S], the second half relative to the speaker's past.

    The speaker's mean so far is drawn towards the population's (0) as long as little was said.
    """
    sums: dict[str, tuple[Tensor, int]] = {}
    relative = []
    for row, speaker in zip(statistics, speakers, strict=True):
        total, count = sums.get(speaker, (torch.zeros_like(row), 0))
        relative.append(row - total / (count + _PRIOR))
        sums[speaker] = (total + row, count + 1)
    return torch.cat([statistics, torch.stack(relative)], dim=1)


class AcousticSet:
    """The utterances of dialogues as the encoder takes them; those without sound are zeros."""

    def __init__(self, dialogues: Sequence[Sequence[Utterance]], features: Features) -> None:
        self.dialogues, self.features = dialogues, features
        self.utterances = [utterance for dialogue in dialogues for utterance in dialogue]
        self.has = torch.tensor([utterance in features for utterance in self.utterances])

    def raw(self) -> Tensor:
        """Return statistics [N, S], nan where there are none."""
        empty = np.full(len(self.features.names), np.nan, np.float32)
        rows = [
            self.features.statistics(u) if u in self.features else empty for u in self.utterances
        ]
        return torch.from_numpy(np.stack(rows))

    def statistics(self, encoder: AcousticEncoder) -> Tensor:
        """Return statistics [N, 2 S], dialogue by dialogue."""
        lengths = [len(dialogue) for dialogue in self.dialogues]
        standardised = torch.split(encoder.standardise(self.raw()), lengths)
        return torch.cat(
            [
                with_past(rows, [utterance.speaker for utterance in dialogue])
                for rows, dialogue in zip(standardised, self.dialogues, strict=True)
            ]
        )

    def frames(self, places: Sequence[int], longest: int | None = None) -> tuple[Tensor, Tensor]:
        """Return frames [B, 64, F] and counts [B] of some utterances, cut at random where `longest` says so."""
        pieces = []
        for place in places:
            utterance = self.utterances[place]
            piece = (
                torch.from_numpy(self.features.frames(utterance).astype(np.float32))
                if utterance in self.features
                else torch.zeros(1, BANDS)
            )
            if longest is not None and len(piece) > longest:
                start = int(torch.randint(len(piece) - longest + 1, ()))
                piece = piece[start : start + longest]
            pieces.append((piece - 12) / 8)
        counts = torch.tensor([len(piece) for piece in pieces])
        return nn.utils.rnn.pad_sequence(pieces, batch_first=True).transpose(1, 2), counts

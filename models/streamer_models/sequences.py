"""Batches of sequences: the frames, tokens or video features of utterances, for systems that attend to them."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from streamer_models.contract import Window


@dataclass(frozen=True, slots=True)
class Sequences:
    """B sequences of up to T vectors; one that is missing has no real step."""

    values: Tensor
    """[B, T, D]; zero in the padding."""
    mask: Tensor
    """bool [B, T]."""

    @property
    def present(self) -> Tensor:
        """Which of them have a real step, bool [B]."""
        return self.mask.any(1)

    @classmethod
    def of(
        cls, rows: Sequence[Tensor | None], size: int, device: torch.device | None = None
    ) -> "Sequences":
        """Put sequences side by side.

        Args:
            rows: Each [steps, size], a vector [size] for one step, or None.
            size: Of a vector.
            device: Where the batch goes.

        Raises:
            ValueError: A vector is of another size.
        """
        found = [
            torch.zeros(0, size) if row is None else row.reshape(-1, row.shape[-1]) for row in rows
        ]
        if any(row.shape[1] != size for row in found):
            raise ValueError(f"the model's embeddings are sequences of vectors of {size}")
        steps = max(1, *map(len, found))
        values = torch.zeros(len(found), steps, size)
        mask = torch.zeros(len(found), steps, dtype=torch.bool)
        for place, row in enumerate(found):
            values[place, : len(row)] = row
            mask[place, : len(row)] = True
        return cls(values.to(device), mask.to(device))


@dataclass(frozen=True, slots=True)
class Utterances:
    """A batch of utterances, each by itself."""

    audio: Sequences
    text: Sequences
    video: Sequences

    @classmethod
    def of(
        cls, windows: Sequence[Window], sizes: tuple[int, int, int], device: torch.device | None
    ) -> "Utterances":
        """Return the last utterance of each window.

        Args:
            windows: At least one.
            sizes: Of a vector of audio, text and video.
            device: Where the batch goes.
        """
        last = [window[-1] for window in windows]
        audio, text, video = sizes
        return cls(
            Sequences.of([u.audio for u in last], audio, device),
            Sequences.of([u.text for u in last], text, device),
            Sequences.of([u.video for u in last], video, device),
        )

"""Windows of embedded utterances as tensors: of a stream, and all of a dialogue at once."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from streamer_models.contract import UtteranceEmbedding, Window


@dataclass(frozen=True, slots=True)
class WindowBatch:
    """A batch of B windows of up to L utterances, in order; padding stands behind the last, present one."""

    audio: Tensor
    """Embeddings [B, L, embedding]; ignored where `has_audio` is false, as `text` is."""
    text: Tensor
    has_audio: Tensor
    """bool [B, L]."""
    has_text: Tensor
    same_speaker: Tensor
    """Which utterances are by the speaker of the present one, bool [B, L]."""
    mask: Tensor
    """Which utterances are real, bool [B, L]."""

    @classmethod
    def of(
        cls, windows: Sequence[Window], size: int, device: torch.device | None = None
    ) -> "WindowBatch":
        """Return the windows of streams as one batch.

        Args:
            windows: At least one.
            size: Of an embedding vector.
            device: Where the batch goes.

        Raises:
            ValueError: An embedding is not a vector of that size.
        """
        longest = max(map(len, windows))
        zero, padding = torch.zeros(size), UtteranceEmbedding(0)
        padded = [[*window, *[padding] * (longest - len(window))] for window in windows]
        every = [utterance for window in padded for utterance in window]
        audio = [zero if u.audio is None else u.audio for u in every]
        text = [zero if u.text is None else u.text for u in every]
        if any(vector.shape != zero.shape for vector in (*audio, *text)):
            raise ValueError(f"the model's embeddings are vectors of {size}")
        flags = (
            [u.audio is not None for u in every],
            [u.text is not None for u in every],
            [
                u.speaker == window[-1].speaker
                for row, window in zip(padded, windows, strict=True)
                for u in row
            ],
            [place < len(window) for window in windows for place in range(longest)],
        )
        shape = len(windows), longest
        parts = (
            torch.stack(audio).view(*shape, -1),
            torch.stack(text).view(*shape, -1),
            *torch.tensor(flags).view(4, *shape),
        )
        return cls(*(part.to(device) for part in parts))

    @classmethod
    def joined(cls, parts: Sequence["WindowBatch"]) -> "WindowBatch":
        """Return the windows of several dialogues as one batch."""
        longest = max(part.mask.shape[1] for part in parts)

        def join(name: str) -> Tensor:
            tensors: list[Tensor] = [getattr(part, name) for part in parts]
            joined = tensors[0].new_zeros((sum(map(len, tensors)), longest, *tensors[0].shape[2:]))
            row = 0
            for tensor in tensors:
                joined[row : row + len(tensor), : tensor.shape[1]] = tensor
                row += len(tensor)
            return joined

        return cls(*map(join, cls.__slots__))


@dataclass(frozen=True, slots=True)
class Dialogue:
    """The N utterances of a conversation, in the order in which they ended."""

    audio: Tensor
    """Embeddings [N, embedding]; ignored where `has_audio` is false, as `text` is."""
    text: Tensor
    has_audio: Tensor
    """bool [N]."""
    has_text: Tensor
    speaker: Tensor
    """Who speaks: an integer for each utterance, [N]."""

    def windows(self, size: int) -> WindowBatch:
        """Return the N causal windows of up to `size` utterances: the n-th ends at the n-th utterance."""
        device = self.speaker.device
        ends = torch.arange(len(self.speaker), device=device)[:, None]
        starts = (ends - size + 1).clamp(min=0)
        index = starts + torch.arange(min(size, len(ends)), device=device)
        mask = index <= ends
        index = torch.minimum(index, ends)
        return WindowBatch(
            audio=self.audio[index],
            text=self.text[index],
            has_audio=self.has_audio[index],
            has_text=self.has_text[index],
            same_speaker=self.speaker[index] == self.speaker[ends],
            mask=mask,
        )

    def whole(self) -> WindowBatch:
        """Return all of it as one window."""
        every = torch.ones_like(self.has_text)
        parts = (self.audio, self.text, self.has_audio, self.has_text, every, every)
        return WindowBatch(*(part[None] for part in parts))

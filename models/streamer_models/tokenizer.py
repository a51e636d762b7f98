"""Texts -> token ids, and texts -> embeddings."""

from collections.abc import Callable, Sequence

import torch
from tokenizers import Tokenizer
from torch import Tensor

MAX_CHARACTERS_PER_TOKEN = 64


class TextTokenizer:
    """Texts -> token ids, by the vocabulary and rules of a `tokenizer.json`.

    Args:
        definition: The content of the file.
        max_tokens: Where a longer text is cut.

    Raises:
        ValueError: It is not a tokenizer's definition.
    """

    def __init__(self, definition: str, max_tokens: int) -> None:
        try:
            self._tokenizer = Tokenizer.from_str(definition)
        except Exception as error:  # the library raises nothing more specific
            raise ValueError(f"not a tokenizer's definition: {error}") from error
        self.definition = definition
        self.max_tokens = max_tokens
        self._tokenizer.enable_truncation(max_tokens)
        self._tokenizer.no_padding()

    @property
    def vocabulary(self) -> int:
        """The least number that is above every id."""
        return 1 + max(self._tokenizer.get_vocab().values(), default=-1)

    def __call__(self, texts: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Return token ids (int64 [B, T]) and their mask (bool [B, T]), padded to the longest of the texts."""
        longest = self.max_tokens * MAX_CHARACTERS_PER_TOKEN
        # one by one: encode_batch starts a pool of threads as large as the machine
        rows = [self._tokenizer.encode(text[:longest]).ids for text in texts]
        width = max(map(len, rows), default=0)
        ids = torch.zeros(len(rows), width, dtype=torch.int64)
        mask = torch.zeros(len(rows), width, dtype=torch.bool)
        for i, row in enumerate(rows):
            ids[i, : len(row)] = torch.tensor(row)
            mask[i, : len(row)] = True
        return ids, mask


class TextEmbedder:
    """Texts -> their embeddings.

    Args:
        tokenizer: The text encoder's own.
        encoder: The text encoder, or its fast form.
        device: Where the encoder is.
    """

    def __init__(
        self,
        tokenizer: TextTokenizer,
        encoder: Callable[[Tensor, Tensor], Tensor],
        device: torch.device | None = None,
    ) -> None:
        self._tokenizer = tokenizer
        self._encoder = encoder
        self._device = device

    @torch.inference_mode()
    def __call__(self, texts: Sequence[str]) -> list[Tensor]:
        """Return an embedding [size], or [steps, size], for each text."""
        return [self._embed(text) for text in texts]

    def _embed(self, text: str) -> Tensor:
        """Embed texts one by one: an embedding of several steps has its own length."""
        ids, mask = self._tokenizer([text])
        return self._encoder(ids.to(self._device), mask.to(self._device))[0].float().cpu()

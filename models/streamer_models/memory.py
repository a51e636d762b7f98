"""A conversation while it happens: its last utterances and the windows over them."""

from collections import deque
from dataclasses import replace

from torch import Tensor

from streamer_models.contract import UtteranceEmbedding, Window

__all__ = ["ConversationState", "UtteranceEmbedding", "Window"]


class ConversationState:
    """The last utterances of one conversation: all that a prediction depends on.

    Utterances are numbered from 0 in the order in which they are added, and can be classified, or have their text
    filled in, while they are among the last `size`. To give each of these a whole window, 2 * size - 1 are kept.

    Args:
        size: Utterances in a window, the present one counted.
    """

    def __init__(self, size: int) -> None:
        if size < 1:
            raise ValueError("a window holds one utterance at least")
        self.size = size
        self._kept: deque[UtteranceEmbedding] = deque(maxlen=2 * size - 1)
        self._count = 0

    def __len__(self) -> int:
        """Return how many utterances were added since the conversation began."""
        return self._count

    def add(self, utterance: UtteranceEmbedding) -> int:
        """Add the utterance that ended now; returns its number."""
        self._kept.append(utterance)
        self._count += 1
        return self._count - 1

    def set_text(self, number: int, text: Tensor) -> None:
        """Fill in the text of an utterance that was added without.

        Raises:
            LookupError: It is not among the last `size`.
            ValueError: It has a text.
        """
        place = self._place(number)
        if self._kept[place].text is not None:
            raise ValueError(f"utterance {number} has a text")
        self._kept[place] = replace(self._kept[place], text=text)

    def window(self, number: int) -> Window:
        """Return the window that ends at an utterance: nothing that was added later is in it.

        Raises:
            LookupError: It is not among the last `size`.
        """
        place = self._place(number)
        return tuple(self._kept)[max(0, place - self.size + 1) : place + 1]

    def window_with(self, utterance: UtteranceEmbedding) -> Window:
        """Return the window that would end at an utterance which is still being spoken; it is not kept."""
        return (*tuple(self._kept)[max(0, len(self._kept) - self.size + 1) :], utterance)

    def _place(self, number: int) -> int:
        if not max(0, self._count - self.size) <= number < self._count:
            raise LookupError(f"utterance {number} is not among the last {self.size}")
        return number - self._count + len(self._kept)

"""Context of an utterance, as a shift of its vector: any system of the zoo in a conversation."""

import torch
from torch import Tensor, nn

from streamer_models.layers.recurrent import last_real


class PastContext(nn.Module):
    """A GRU over the vectors of a window of utterances, whose last one is the present one.

    Its output is zero before training, and for an utterance without a past: that one is classified as alone.

    Args:
        width: Of an utterance's vector.
        hidden: Of the GRU.
    """

    def __init__(self, width: int, hidden: int = 64) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width + 1, hidden)
        self.gru = nn.GRU(hidden, hidden, batch_first=True)
        self.dropout = nn.Dropout(0.3)
        self.shift = nn.Linear(hidden, width)
        nn.init.zeros_(self.shift.weight)
        nn.init.zeros_(self.shift.bias)

    def forward(self, vectors: Tensor, same_speaker: Tensor, lengths: Tensor) -> Tensor:
        """Shift the vectors of the last utterances.

        Args:
            vectors: [B, L, width], from the start of each row.
            same_speaker: Whether each is of the speaker of the last one, bool [B, L].
            lengths: Utterances in each window, int64 [B], 1..L.

        Returns:
            The shifted vectors of the last ones, [B, width].
        """
        marked = torch.cat([self.norm(vectors), same_speaker[..., None].to(vectors.dtype)], dim=-1)
        states, _ = self.gru(torch.relu(self.project(self.dropout(marked))))
        shift = self.shift(self.dropout(last_real(states, lengths)))
        shifted: Tensor = last_real(vectors, lengths) + shift * (lengths > 1)[:, None].to(
            shift.device
        )
        return shifted

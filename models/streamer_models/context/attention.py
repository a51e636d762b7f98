"""One modality's embeddings of a window of utterances -> the same in context."""

import torch
from torch import Tensor, nn

from streamer_models.config import Layers, NetworkConfig, Probability, Width
from streamer_models.layers.recurrent import BiGru, lengths_of


class ContextConfig(NetworkConfig):
    """Sizes of a context encoder; the defaults are the paper's."""

    hidden: Width = 100
    layers: Layers = 2
    dropout: Probability = 0.0
    """Between the GRU's layers."""


class SelfAttention(nn.Module):
    """A = softmax_rows((O W)(O W)^T), output A O (Dutta & Ganapathy, 2022)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.projection = nn.Linear(width, width, bias=False)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map vectors [B, L, width], mask bool [B, L] -> [B, L, width]; padding is not attended to."""
        projected = self.projection(x)
        scores = projected @ projected.transpose(1, 2)
        scores = scores.masked_fill(~mask[:, None, :], float("-inf"))
        return torch.softmax(scores, dim=-1) @ x


class ContextEncoder(nn.Module):
    """A bidirectional GRU over the utterances of a window, then self-attention in each direction.

    Utterances that lack this modality are a learned vector. Whether an utterance's speaker is that of the
    present (the last) one is an embedding added to the input, where `speaker` asks for it.

    Args:
        inputs: Size of an utterance's embedding.
        config: The other sizes.
        speaker: Whether to add the speaker's embedding.
    """

    def __init__(self, inputs: int, config: ContextConfig, *, speaker: bool) -> None:
        super().__init__()
        self.missing = nn.Parameter(nn.init.normal_(torch.empty(inputs), std=0.1))
        self.speaker = (
            nn.Parameter(nn.init.normal_(torch.empty(2, inputs), std=0.1)) if speaker else None
        )
        self.gru = BiGru(inputs, config.hidden, config.layers, config.dropout)
        self.attention = nn.ModuleList(SelfAttention(config.hidden) for _ in range(2))

    def forward(self, x: Tensor, has: Tensor, same_speaker: Tensor, mask: Tensor) -> Tensor:
        """Put each utterance into the context of its window.

        Args:
            x: Embeddings [B, L, inputs]; what stands at utterances that lack the modality is ignored.
            has: Which utterances have the modality, bool [B, L].
            same_speaker: Which are by the speaker of the present one, bool [B, L].
            mask: Which are real, bool [B, L], the padding behind them.

        Returns:
            [B, L, 2 * hidden], the forward direction first.
        """
        x = torch.where(has[..., None], x, self.missing)
        if self.speaker is not None:
            x = x + self.speaker[same_speaker.long()]
        outputs, _ = self.gru(x, lengths_of(mask))
        return torch.cat(
            [attend(outputs[:, :, i], mask) for i, attend in enumerate(self.attention)], dim=-1
        )

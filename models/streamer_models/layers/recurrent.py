"""A bidirectional GRU over sequences of different lengths, and the masks that tell the lengths."""

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


def lengths_of(mask: Tensor) -> Tensor:
    """Return the lengths [B] (int64, on the CPU) that a mask (bool [B, T]) stands for.

    A sequence stands at the start of its row, the padding behind it.

    Raises:
        ValueError: A row is empty or has padding before something real.
    """
    mask = mask.detach().cpu()
    rows, steps = mask.shape
    if steps and bool(mask.all()):
        return torch.full((rows,), steps)
    lengths = mask.sum(1)
    if bool((lengths == 0).any()) or bool((mask[:, 1:] & ~mask[:, :-1]).any()):
        raise ValueError("each row of a mask must be a run of True, then padding only")
    return lengths


def last_real(x: Tensor, lengths: Tensor) -> Tensor:
    """Return the last real vector of each row: x [B, T, D], lengths [B] -> [B, D]."""
    rows = torch.arange(len(x), device=x.device)
    return x[rows, lengths.to(x.device) - 1]


class BiGru(nn.Module):
    """A GRU in both directions; padding changes neither."""

    def __init__(self, inputs: int, hidden: int, layers: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.gru = nn.GRU(
            inputs,
            hidden,
            layers,
            batch_first=True,
            bidirectional=True,
            dropout=dropout if layers > 1 else 0.0,
        )

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Run over each row's real part.

        Args:
            x: [B, T, inputs].
            lengths: int64 [B], on the CPU, 1..T.

        Returns:
            The outputs [B, T, 2, hidden] of the forward and the backward direction, zero in the
            padding, and the state [B, 2, hidden] in which each direction ends.
        """
        steps = x.shape[1]
        if int(lengths.min()) == steps:
            outputs, states = self.gru(x)
        else:
            packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
            outputs, states = self.gru(packed)
            outputs, _ = pad_packed_sequence(outputs, batch_first=True, total_length=steps)
        return outputs.view(len(x), steps, 2, -1), states[-2:].transpose(0, 1)

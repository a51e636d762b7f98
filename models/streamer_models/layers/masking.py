"""Sums, means, extremes and attention over the real part of padded sequences.

A mask is bool [B, T], True where a step is real. A row without any real step gives zeros, never NaN: an utterance may
lack a modality.
"""

import torch
from torch import Tensor

SMALL = 1e-6
"""Keeps the square root's slope finite where nothing varies."""


def masked_softmax(scores: Tensor, mask: Tensor) -> Tensor:
    """Return softmax over the last dimension, zero where the mask (broadcast to the scores) is False."""
    lowest = torch.finfo(scores.dtype).min
    weights = torch.softmax(scores.masked_fill(~mask, lowest), dim=-1)
    return weights.masked_fill(~mask, 0)


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Return the mean over time: [B, T, D] -> [B, D]."""
    count = mask.sum(1, keepdim=True).clamp(min=1)
    return x.masked_fill(~mask[..., None], 0).sum(1) / count


def masked_deviation(x: Tensor, mask: Tensor) -> Tensor:
    """Return the standard deviation over time, that of the whole population: [B, T, D] -> [B, D]."""
    centred = (x - masked_mean(x, mask)[:, None]).masked_fill(~mask[..., None], 0)
    count = mask.sum(1, keepdim=True).clamp(min=1)
    deviation: Tensor = (centred.square().sum(1) / count + SMALL).sqrt() - SMALL**0.5
    return deviation


def masked_max(x: Tensor, mask: Tensor) -> Tensor:
    """Return the maximum over time: [B, T, D] -> [B, D]."""
    lowest = torch.finfo(x.dtype).min
    highest = x.masked_fill(~mask[..., None], lowest).amax(1)
    return highest.masked_fill(~mask.any(1, keepdim=True), 0)

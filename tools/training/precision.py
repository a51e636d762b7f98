"""Half precision where the processor has it."""

import torch

from streamer_models.encoders.whisper import has_bfloat16


def reduced_precision(*, wanted: bool = True) -> torch.autocast:
    """Return a context that multiplies matrices in bfloat16, unless the processor would have to emulate that."""
    return torch.autocast("cpu", torch.bfloat16, enabled=wanted and has_bfloat16())

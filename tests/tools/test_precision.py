"""Reduced precision is used where it saves time, and nowhere else."""

import torch

from streamer_models.encoders.whisper import has_bfloat16
from tools.training.precision import reduced_precision


def test_multiplies_in_bfloat16_only_where_that_is_not_emulated():
    x = torch.ones(2, 2)
    with reduced_precision():
        assert (x @ x).dtype == (torch.bfloat16 if has_bfloat16() else torch.float32)
    with reduced_precision(wanted=False):
        assert (x @ x).dtype == torch.float32

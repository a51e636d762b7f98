"""Statistics of Whisper's layers over pieces of speech, computed once and kept on disk.

The backbone is frozen, so all that a head learns from is two vectors for each layer and piece. Several versions of
56,000 s of speech take a few minutes of one core each.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

import torch
from torch import Tensor

from streamer_models.encoders.whisper import Whisper
from tools.progress import progress
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.tasks.speech_pieces import Piece, Speech, Version

REVISION = 1
"""Of what is computed here: a new number renews caches."""

_SHARD = 500
_NOISY = (Version.AUGMENTED, Version.SHORT)


def statistics(
    encoder: Whisper,
    speech: Speech,
    pieces: Sequence[Piece],
    version: Version,
    folder: Path,
) -> Tensor:
    """Return the statistics of pieces, float16 [n, values], from the cache or computed and kept there.

    Args:
        encoder: Of which the backbone counts.
        speech: Where the pieces are from.
        pieces: The n pieces.
        version: What is done to each.
        folder: Of the cache; what belongs to other data or another backbone has other names in it.
    """
    rows = []
    for shard in progress(list(_shards(pieces)), f"{version.value}, {len(pieces)} pieces"):
        noises = speech.noises if version in _NOISY else []
        path = folder / f"{version.value}-{_digest(encoder, shard, noises)}.safetensors"
        if not path.is_file():
            save_checkpoint(path, {"statistics": _computed(encoder, speech, shard, version)}, {})
        rows.append(load_checkpoint(path)[0]["statistics"])
    return torch.cat(rows)


@torch.inference_mode()
def _computed(
    encoder: Whisper, speech: Speech, pieces: Sequence[Piece], version: Version
) -> Tensor:
    waves = (torch.from_numpy(speech.wave(piece, version)) for piece in pieces)
    return torch.stack([encoder.statistics(wave).half() for wave in waves])


def _shards(pieces: Sequence[Piece]) -> Iterator[Sequence[Piece]]:
    return (pieces[start : start + _SHARD] for start in range(0, len(pieces), _SHARD))


def _digest(encoder: Whisper, pieces: Sequence[Piece], noises: Sequence[int]) -> str:
    """Return what the statistics of pieces depend on, but for the recordings themselves."""
    about = [REVISION, encoder.config.pooled, noises, [astuple(piece) for piece in pieces]]
    digest = hashlib.sha256(json.dumps(about).encode())
    for weights in encoder.backbone.parameters():
        digest.update(weights.detach().numpy().tobytes())
    return digest.hexdigest()[:20]

"""EmoBank: sentences whose valence and arousal readers have rated."""

import hashlib
from pathlib import Path

import torch
from torch import Tensor

from tools.data.tables import read_table

DIMENSIONS = ("valence", "arousal")
_COLUMNS = ("split", "text", *DIMENSIONS)
_MOST = 200_000


def rated_texts(data: Path, split: str, most: int) -> tuple[list[str], Tensor]:
    """Return the first sentences of a part (train, dev), and their valence and arousal [n, 2] in [-1, 1].

    Args:
        data: Folder with text/emobank.
        split: The part.
        most: Sentences at most.
    """
    rows = [
        (row["text"], [(float(row[name]) - 3.0) / 2.0 for name in DIMENSIONS])
        for _, row in read_table(_table(data), _COLUMNS, _MOST)
        if row["split"] == split
    ][:most]
    return [text for text, _ in rows], torch.tensor([rating for _, rating in rows])


def has_rated_texts(data: Path) -> bool:
    """Return whether a folder holds them."""
    return _table(data).is_file()


def rated_texts_hash(data: Path) -> str:
    """Return the SHA-256 of the file."""
    return hashlib.sha256(_table(data).read_bytes()).hexdigest()


def _table(data: Path) -> Path:
    return data / "text" / "emobank" / "utterances.csv.gz"

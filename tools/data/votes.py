"""What listeners hear in acted clips, where they were asked."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

CREMAD_VOTES = Path("cremad") / "ratings.csv"
"""Within a folder of clips: votes on CREMA-D from the voice alone, with the columns clip, voice_angry, ..."""

_FEWEST = 3


def read_votes(path: Path, labels: Sequence[str]) -> dict[str, NDArray[np.float64]]:
    """Listeners' votes from voice alone by clip, as shares of labels; clips with fewer than three are left out."""
    if not path.is_file():
        return {}
    votes = {}
    with path.open(newline="", encoding="utf-8") as file:
        for row in csv.DictReader(file):
            counts = np.array([float(row.get(f"voice_{label}") or 0) for label in labels])
            if counts.sum() >= _FEWEST:
                votes[row["clip"]] = counts / counts.sum()
    return votes

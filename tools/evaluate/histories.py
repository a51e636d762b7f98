"""Accuracy at a speaker's first, second, fourth, ... utterance, with the past as the running program has it.

A history is sixteen clips of one speaker in random order; the clips of a history differ where there are enough. The
past helps where moods last and misleads where they change, so that histories are drawn in several ways.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamer_models.bundle import Bundle
from streamer_models.windows import Dialogue
from tools.data.manifest import Clip
from tools.evaluate.judging import judge
from tools.evaluate.metrics import Judgements, report
from tools.evaluate.output import CALM

LENGTH = 16
PLACES: Mapping[str, tuple[int, int]] = {
    "1": (1, 1), "2": (2, 2), "4": (4, 4), "8": (8, 8), "16": (16, 16), "8 to 16": (8, 16),
}  # fmt: skip
"""Names of places in a history -> the first and the last."""

_MOSTLY = 0.7
_DRAWS = 12


def histories(
    bundle: Bundle, clips: Sequence[Clip], embeddings: Tensor, *, seed: int = 0
) -> dict[str, Any]:
    """Kind of history -> place -> report, clustered by speaker.

    Kinds: `equal`, all emotions of the speaker equally often; `mostly neutral`, seven of ten; `same throughout`.

    Args:
        bundle: What judges.
        clips: n labelled clips.
        embeddings: Of their sound, [n, D].
        seed: Of the draws.
    """
    speakers = sorted({clip.speaker for clip in clips})
    result: dict[str, Any] = {}
    for kind in ("equal", "mostly neutral", "same throughout"):
        rng = np.random.default_rng((seed, 31))
        drawn: list[tuple[str, list[int]]] = []
        for speaker in speakers:
            cells: dict[str, list[int]] = {}
            for place, clip in enumerate(clips):
                if clip.speaker == speaker:
                    cells.setdefault(clip.emotion4, []).append(place)
            drawn += [(speaker, _history(cells, kind, rng)) for _ in range(_DRAWS)]
        said = judge(bundle, [_dialogue(embeddings[rows]) for _, rows in drawn])
        result[kind] = {
            name: report(
                Judgements.of(
                    bundle.labels,
                    [clips[row].emotion4 for _, rows in drawn for row in rows[first - 1 : last]],
                    np.concatenate([rows[first - 1 : last] for rows in said]),
                    [speaker for speaker, _ in drawn for _ in range(first, last + 1)],
                )
            )
            for name, (first, last) in PLACES.items()
        }
    return result


def _history(cells: Mapping[str, Sequence[int]], kind: str, rng: np.random.Generator) -> list[int]:
    """Rows of `LENGTH` clips of a speaker whose clips of each emotion are given."""
    names = sorted(cells)
    weights = np.ones(len(names))
    if kind == "same throughout":
        weights = np.eye(len(names))[rng.integers(len(names))]
    elif kind == "mostly neutral" and CALM in names and len(names) > 1:
        calm = np.array([name == CALM for name in names])
        weights = np.where(calm, _MOSTLY, (1 - _MOSTLY) / (len(names) - 1))
    chosen = rng.choice(len(names), LENGTH, p=weights / weights.sum())
    rows = np.zeros(LENGTH, np.int64)
    for number, name in enumerate(names):
        places = np.flatnonzero(chosen == number)
        order = rng.permutation(cells[name])
        rows[places] = np.resize(order, len(places))
    return [int(row) for row in rows]


def _dialogue(rows: Tensor) -> Dialogue:
    """Utterances [n, D] of one speaker without words."""
    count = len(rows)
    yes, no = torch.ones(count, dtype=torch.bool), torch.zeros(count, dtype=torch.bool)
    return Dialogue(rows, torch.zeros_like(rows), yes, no, torch.zeros(count, dtype=torch.int64))

"""What the errors of speaker labels come from, and how few there would be if one part of the work were perfect.

Counted in steps of 10 ms, so that sums differ from those of pyannote.metrics in the third digit.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from tools.evaluate.speaker_errors import Diarized, Spoken

_STEPS = 100
"""Of a second."""
_EDGE = 25
"""Steps on either side of a begin or end of the reference."""

CAUSES = (
    "missed_overlap",
    "missed_edge",
    "missed_inside",
    "false_edge",
    "false_outside",
    "confusion",
)
BOUNDS = ("perfect_labels", "perfect_speech")

_Grid = NDArray[np.bool_]


def causes(recordings: Sequence[Diarized]) -> dict[str, float | None]:
    """Divide the diarization error rate (no collar, overlaps counted) by its causes.

    Returns:
        As shares of the speech: `missed_overlap`, what others say while the one who is named speaks; `missed_edge`
        and `missed_inside`, speech in no utterance, within .25 s of where a turn begins or ends, or not; `false_edge`
        and `false_outside`, the same of utterances without speech; `confusion`. Then two error rates:
        `perfect_labels`, if each utterance had the name of who speaks most of it; `perfect_speech`, if one speaker
        after the other were heard whenever somebody speaks, with the label of the nearest utterance.
    """
    rows = np.array([_row(recording) for recording in recordings], np.float64)
    totals = rows.reshape(-1, len(CAUSES) + len(BOUNDS) + 1).sum(axis=0)
    if not totals[-1]:
        return dict.fromkeys((*CAUSES, *BOUNDS))
    rates = (totals[:-1] / totals[-1]).round(4).tolist()
    return dict(zip((*CAUSES, *BOUNDS), rates, strict=True))


def _row(recording: Diarized) -> list[float]:
    """Steps of each cause, of the errors under each bound, and of speech."""
    length = int(recording.seconds * _STEPS) + 1
    true, said = (_grid(each, length) for each in (recording.reference, recording.hypothesis))
    speaking, heard = true.sum(axis=0), said.sum(axis=0)
    edge = _edges(recording.reference, length)
    overlap = np.maximum(0, speaking - np.maximum(heard, 1)).clip(0)
    missed, false = (speaking > 0) & (heard == 0), np.maximum(0, heard - speaking)
    confused = np.minimum(speaking, heard).sum() - _agreed(true, said)
    counts = [
        overlap.sum(),
        (missed & edge).sum(),
        (missed & ~edge).sum(),
        false[edge].sum(),
        false[~edge].sum(),
        confused,
    ]
    return [
        *counts,
        _errors(true, _best(true, said, recording)),
        _errors(true, _nearest(said, speaking)),
        speaking.sum(),
    ]


def _grid(spoken: Sequence[Spoken], length: int) -> _Grid:
    """Who speaks: [speakers, steps]."""
    names = sorted({one.speaker for one in spoken})
    grid = np.zeros((len(names), length), np.bool_)
    for one in spoken:
        grid[names.index(one.speaker), _span(one)] = True
    return grid


def _span(one: Spoken) -> slice:
    return slice(round(one.start * _STEPS), round(one.end * _STEPS))


def _edges(turns: Sequence[Spoken], length: int) -> _Grid:
    edges = np.zeros(length, np.bool_)
    for at in (round(t * _STEPS) for turn in turns for t in (turn.start, turn.end)):
        edges[max(0, at - _EDGE) : at + _EDGE] = True
    return edges


def _agreed(true: _Grid, said: _Grid) -> int:
    """Steps that are right under the best pairing of names."""
    together = true.astype(np.int64) @ said.T.astype(np.int64)
    return int(together[linear_sum_assignment(-together)].sum())


def _errors(true: _Grid, said: _Grid) -> int:
    most = np.maximum(true.sum(axis=0), said.sum(axis=0))
    return int(most.sum()) - _agreed(true, said)


def _best(true: _Grid, said: _Grid, recording: Diarized) -> _Grid:
    """Return the utterances, each with the name of who speaks most of it."""
    named = np.zeros_like(true) if len(true) else said
    for one in recording.hypothesis if len(true) else ():
        span = _span(one)
        named[int(true[:, span].sum(axis=1).argmax()), span] = True
    return named


def _nearest(said: _Grid, speaking: NDArray[np.int64]) -> _Grid:
    """Return the labels of the nearest utterances wherever somebody speaks, one at a time."""
    known = np.flatnonzero(said.any(axis=0))
    labels = np.zeros_like(said)
    if len(known):
        at = np.flatnonzero(speaking)
        after = np.searchsorted(known, at).clip(0, len(known) - 1)
        before, after = known[(after - 1).clip(0)], known[after]
        nearest = np.where(np.abs(at - before) <= np.abs(after - at), before, after)
        labels[said[:, nearest].argmax(axis=0), at] = True
    return labels

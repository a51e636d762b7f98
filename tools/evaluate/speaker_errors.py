"""Errors of speaker labels: sums of times of each recording, and rates of their totals with intervals.

Times and rates are those of pyannote.metrics (Bredin, Interspeech 2017). A recording is evaluated as a whole, from its
beginning to its end.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pyannote.core import Annotation, Segment, Timeline
from pyannote.metrics.diarization import (
    DiarizationCoverage,
    DiarizationErrorRate,
    DiarizationPurity,
)

from tools.evaluate.metrics import draws, number

COLLAR_S = 0.25
"""Seconds left out on either side of each boundary of the reference in the forms with a collar."""

FORMS = {
    "der": (0.0, False),
    "der_no_overlap": (0.0, True),
    "der_collar": (COLLAR_S, False),
    "der_collar_no_overlap": (COLLAR_S, True),
}
"""Forms of the diarization error rate: the collar, and whether time in which several speak is left out."""

_ERRORS = ("missed detection", "false alarm", "confusion")
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Spoken:
    """Somebody speaks: seconds, and a name."""

    start: float
    end: float
    speaker: str


@dataclass(frozen=True, slots=True)
class Diarized:
    """One recording: `seconds` long, who speaks when, and who was said to."""

    seconds: float
    reference: Sequence[Spoken]
    hypothesis: Sequence[Spoken]


def errors(recordings: Sequence[Diarized]) -> dict[str, Any]:
    """Measure recordings together.

    Returns:
        `n`, `seconds`; each of `FORMS`, with its parts `missed`, `false_alarm`, `confusion`; `purity` and `coverage` of
        the speakers found; `speakers_right`, the share of recordings in which as many were found as there are. Each
        as {"value", "low", "high"}, with a 95 % interval over resampled recordings (None for one recording).
    """
    result: dict[str, Any] = {
        "n": len(recordings),
        "seconds": round(sum(recording.seconds for recording in recordings), 3),
    }
    for name, (collar, skip) in FORMS.items():
        metric = DiarizationErrorRate(collar=2 * collar, skip_overlap=skip)
        times = _times(metric, recordings, (*_ERRORS, "total"))
        rate = _rate(times[:, :3].sum(axis=1), times[:, 3])
        parts = ("missed", "false_alarm", "confusion")
        result[name] = rate | {
            part: _rate(times[:, place], times[:, 3])["value"] for place, part in enumerate(parts)
        }
    kinds: dict[str, Callable[[], Any]] = {
        "purity": DiarizationPurity,
        "coverage": DiarizationCoverage,
    }
    for name, kind in kinds.items():
        result[name] = _rate(*_times(kind(), recordings, ("correct", "total")).T)
    right = [float(_count(one.reference) == _count(one.hypothesis)) for one in recordings]
    result["speakers_right"] = _rate(np.array(right), np.ones(len(right)))
    return result


def annotation(spoken: Iterable[Spoken]) -> Annotation:
    """Return who speaks when as pyannote's."""
    made = Annotation()
    for track, one in enumerate(spoken):
        if one.end > one.start:
            made[Segment(one.start, one.end), track] = one.speaker
    return made


def _times(
    metric: Callable[..., Mapping[str, float]],
    recordings: Sequence[Diarized],
    components: Sequence[str],
) -> _Floats:
    """Seconds [recordings, components]."""
    rows = []
    for recording in recordings:
        whole = Timeline([Segment(0, recording.seconds)])
        sides = map(annotation, (recording.reference, recording.hypothesis))
        found = metric(*sides, uem=whole, detailed=True)
        rows.append([found[name] for name in components])
    return np.array(rows, np.float64).reshape(-1, len(components))


def _count(spoken: Iterable[Spoken]) -> int:
    return len({one.speaker for one in spoken})


def _rate(part: _Floats, whole: _Floats) -> dict[str, float | None]:
    """Return the ratio of totals [recordings]."""
    low: float | None = None
    high: float | None = None
    count = len(whole)
    if count > 1:
        weights = draws(count)
        low, high = map(
            number, np.nanpercentile(_ratio(weights @ part, weights @ whole), (2.5, 97.5))
        )
    value = number(_ratio(part.sum(keepdims=True), whole.sum(keepdims=True))[0])
    return {"value": value, "low": low, "high": high}


def _ratio(part: _Floats, whole: _Floats) -> _Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(whole > 0, part / whole, np.nan)

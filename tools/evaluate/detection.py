"""How well speech was found: measures over frames of 10 ms, and over the ends of utterances, from spans in seconds."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from streamer.audio import SAMPLE_RATE
from tools.evaluate.metrics import draws, number

STEP = SAMPLE_RATE // 100
"""Samples of a frame of 10 ms."""
MEASURES = ("f1", "miss", "false_alarm")

Span = tuple[float, float]
"""Start and end in seconds."""

Counts = NDArray[np.float64]
"""Frames [..., 4]: speech found, speech missed, silence taken for speech, silence left alone."""


@dataclass(frozen=True, slots=True)
class Channel:
    """One channel of a recording: what is speech, and what was said to be; `seconds` long."""

    seconds: float
    reference: Sequence[Span]
    detected: Sequence[Span]
    utterances: Sequence[Span]


def rates(counts: Counts) -> dict[str, Counts]:
    """Return the measures of counts [..., 4]; nan where the reference has nothing to find or to leave alone."""
    found, missed, false, silent = np.moveaxis(counts, -1, 0)
    with np.errstate(invalid="ignore"):
        return {
            "f1": 2 * found / (2 * found + missed + false),
            "miss": missed / (found + missed),
            "false_alarm": false / (false + silent),
        }


def count(channel: Channel, said: Sequence[Span]) -> Counts:
    """Return frames [4] of a channel, for a hypothesis about it."""
    frames = int(channel.seconds * SAMPLE_RATE) // STEP
    speech, voiced = (_mask(spans, frames) for spans in (channel.reference, said))
    both = ((speech & voiced), (speech & ~voiced), (~speech & voiced), (~speech & ~voiced))
    return np.array([mask.sum() for mask in both], np.float64)


def boundaries(channels: Iterable[Channel], hangover: float) -> dict[str, Any]:
    """Return how the ends of utterances lie to those of the reference."""
    starts: list[float] = []
    ends: list[float] = []
    references = found = joined = 0
    for channel in channels:
        spoken = merged(channel.reference, apart=hangover)
        for place, (start, end) in enumerate(spoken):
            before = spoken[place - 1][1] if place else 0.0
            after = spoken[place + 1][0] if place + 1 < len(spoken) else channel.seconds
            over = [said for said in channel.utterances if said[0] < end and said[1] > start]
            references += 1
            found += bool(over)
            if not over:
                continue
            alone = over[0][0] >= before, over[-1][1] <= after
            joined += not all(alone)
            if alone[0]:
                starts.append(over[0][0] - start)
            if alone[1]:
                ends.append(over[-1][1] - end)
    return {
        "references": references,
        "found": number(found / max(1, references)),
        "merged": number(joined / max(1, references)),
        "late": number(float(np.mean(np.array(starts) > 0)) if starts else np.nan),
        "start": _spread(starts),
        "end": _spread(ends),
    }


def merged(spans: Iterable[Span], *, apart: float = 0.0) -> list[Span]:
    """Return the union of spans, in order; those that lie no more than `apart` seconds apart become one."""
    result: list[Span] = []
    for start, end in sorted(spans):
        if result and start - result[-1][1] <= apart:
            result[-1] = (result[-1][0], max(result[-1][1], end))
        else:
            result.append((start, end))
    return result


def _mask(spans: Sequence[Span], frames: int) -> NDArray[np.bool_]:
    """Return whether the middle of each frame lies in a span, bool [frames]."""
    mask = np.zeros(frames, np.bool_)
    for start, end in spans:
        first, last = (round(second * SAMPLE_RATE / STEP) for second in (start, end))
        mask[first:last] = True
    return mask


def counts_by_file(
    files: Mapping[str, Sequence[Channel]], said: Callable[[Channel], Sequence[Span]]
) -> Counts:
    """Count [files, 4]."""
    return np.array(
        [sum(count(channel, said(channel)) for channel in found) for found in files.values()]
    )


def measured(counts: Counts) -> dict[str, Any]:
    """Return the measures of counts [files, 4] with 95 % intervals over resampled files."""
    values, files = rates(counts.sum(axis=0)), len(counts)
    spread: Mapping[str, Counts] = {}
    if files > 1:
        spread = rates(draws(files) @ counts)
    result: dict[str, Any] = {}
    for name in MEASURES:
        low, high = _percentiles(spread.get(name, ()), (2.5, 97.5))
        result[name] = {"value": number(values[name]), "low": low, "high": high}
    return result


def leave_one_out(counts: Counts) -> dict[str, float | None]:
    """Return the worst of what counts [files, 4] give without any one of the files."""
    rest = rates(counts.sum(axis=0) - counts)
    return {
        "lowest_f1": _percentiles(rest["f1"], (0,))[0],
        "highest_false_alarm": _percentiles(rest["false_alarm"], (100,))[0],
    }


def _spread(errors: Sequence[float]) -> dict[str, float | None]:
    return dict(zip(("p5", "median", "p95"), _percentiles(errors, (5, 50, 95)), strict=True))


def _percentiles(values: ArrayLike, wanted: Sequence[float]) -> list[float | None]:
    """Return percentiles of what is not nan; None where nothing is left."""
    known = np.asarray(values, np.float64)
    known = known[~np.isnan(known)]
    return [number(np.percentile(known, p)) if len(known) else None for p in wanted]

"""`python -m tools.evaluate voices`: how well the shipped speaker encoder tells people apart, and by which thresholds.

Two measures of clips (`--speech`), for each corpus in `CORPORA` as recorded and over a telephone:

- `pieces`: pieces of speech against each other; the equal error rate. Of recordings with an RTTM (`--data`), too:
  pieces of one recording against each other, where one speaks alone.
- `names`: voice prints of 10 s, as recorded, against what others and the same people say in 3 s later: how often a
  stranger has a name by chance (`false`, for each person enrolled) and how often somebody known has none
  (`missed`), by threshold. `halves` are the halves of what a voice print is made of, of one person or of two.

A corpus with one clip for each speaker (librispeech_mini) says little about what is missed: it was one recording.
Intervals (95 %) are over resampled speakers.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from streamer.audio import Samples, to_samples
from streamer.errors import UserError
from streamer.process import one_thread_per_computation
from streamer.speech.speakers import Thresholds
from streamer_models.speaker_encoder import SpeakerEncoder, load_speaker_encoder
from tools.data.augmentation import telephone
from tools.data.decoding import decode
from tools.data.manifest import read_manifest
from tools.data.mono_dialogues import trimmed
from tools.evaluate.metrics import draws, equal_error_rate, number
from tools.evaluate.output import write_json
from tools.evaluate.rttm import Turn, find_annotated
from tools.printing import print_rows
from tools.progress import progress

CORPORA = ("cremad", "librispeech_mini")
LINES: dict[str, Callable[[Samples], Samples]] = {
    "as recorded": lambda wave: wave,
    "telephone": lambda wave: telephone(wave).astype(np.float32),
}
PRINT_S = 10.0
"""Seconds of a voice print."""
HEARD_S = 3.0
"""Seconds of what is compared with it."""
PIECES_S = (0.8, 1.5, 3.0)
MOST_PIECES = 3
"""Of one speaker."""
FALSE = 0.01
"""The rate of false names that a threshold is given for."""
_RESAMPLES = 300
_THRESHOLDS = np.round(np.arange(0.3, 0.8, 0.05), 2)

Voices = NDArray[np.float32]
"""Vectors of length 1: [n, size]."""
_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Said:
    """Speech of one person, pauses left out; `where` it may be compared with others."""

    speaker: str
    samples: Samples
    where: str = ""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--speech", type=Path, help="folder of clips with a manifest.csv")
    parser.add_argument("--data", type=Path, help="folder of recordings, each with a FILE.rttm")
    parser.add_argument("--only", default="meet", help="beginning of the recordings' names")
    parser.add_argument("--people", type=int, default=60, help="speakers of each corpus, at most")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    one_thread_per_computation()
    encoder = load_speaker_encoder()
    pieces: list[dict[str, Any]] = []
    names: list[dict[str, Any]] = []
    for corpus, people in _sets(arguments):
        for line, heard in LINES.items():
            found = [
                {"corpus": corpus, "line": line, "seconds": seconds}
                | compare_pieces(encoder, people, seconds, heard)
                for seconds in progress(PIECES_S, f"{corpus}, {line}")
            ]
            pieces += [row for row in found if row["pieces"]]
        if corpus in CORPORA:
            names += [{"corpus": corpus} | row for row in named(encoder, people)]
    result = {"pieces": pieces, "names": names, "threshold": Thresholds().enrolled}
    _print(result)
    write_json(arguments.json, result)


def _sets(arguments: argparse.Namespace) -> Iterator[tuple[str, list[Said]]]:
    """Read what the arguments ask for.

    Raises:
        UserError: They ask for nothing.
    """
    if not (arguments.speech or arguments.data):
        raise UserError("give --speech, a folder of clips, or --data, one of recordings, or both")
    if arguments.speech:
        for corpus in CORPORA:
            if people := _clips(arguments.speech, corpus, arguments.people):
                yield corpus, people
    if arguments.data:
        turns = [
            Said(turn.speaker, wave[to_samples(turn.start) : to_samples(turn.end)], each.file.stem)
            for each in find_annotated(arguments.data)
            if each.file.name.startswith(arguments.only)
            for wave in [decode(each.file)]
            for turn in alone(each.turns)
        ]
        yield f"{arguments.only} (recordings)", turns


def _clips(folder: Path, corpus: str, most: int) -> list[Said]:
    """As much of some speakers of a corpus as is needed, of clips drawn."""
    needed = to_samples(PRINT_S + HEARD_S * MOST_PIECES)
    said: dict[str, Samples] = defaultdict(lambda: np.zeros(0, np.float32))
    clips = [clip for clip in read_manifest(folder) if clip.corpus == corpus]
    people = sorted({clip.speaker for clip in clips})[:most]
    clips = [clip for clip in clips if clip.speaker in people]
    order = np.random.default_rng(0).permutation(len(clips))
    for clip in (clips[place] for place in order):
        if len(said[clip.speaker]) < needed:
            wave = trimmed(decode(folder / clip.path))
            said[clip.speaker] = np.concatenate([said[clip.speaker], wave])
    return [Said(name, said[name]) for name in sorted(said)]


def alone(turns: Sequence[Turn]) -> list[Turn]:
    """Return what of turns is said while nobody else speaks, in pieces."""
    edges = sorted({at for turn in turns for at in (turn.start, turn.end)})
    found = []
    for start, end in pairwise(edges):
        there = [turn for turn in turns if turn.start <= start and turn.end >= end]
        if len(there) == 1:
            found.append(Turn(start, end, there[0].channel, there[0].speaker))
    return found


def compare_pieces(
    encoder: SpeakerEncoder,
    said: Sequence[Said],
    seconds: float,
    line: Callable[[Samples], Samples],
) -> dict[str, Any]:
    """Return the equal error rate of pieces against each other, with an interval over speakers."""
    length = to_samples(seconds)
    taken: dict[str, int] = defaultdict(int)
    labels: list[tuple[str, str]] = []
    vectors = []
    for one in said:
        step = length if one.where else to_samples(HEARD_S)
        for start in range(0, len(one.samples) - length + 1, step):
            if taken[one.speaker] < MOST_PIECES:
                taken[one.speaker] += 1
                labels.append((one.where, one.speaker))
                vectors.append(encoder.embed(line(one.samples[start : start + length])))
    counts = {"speakers": len(taken), "pieces": len(vectors)}
    if len(vectors) < 2:
        return counts | {"eer": None, "low": None, "high": None}
    people = sorted({speaker for _, speaker in labels})
    person = np.array([people.index(speaker) for _, speaker in labels])
    place = np.array([where for where, _ in labels])
    left, right = np.triu_indices(len(labels), 1)
    together = place[left] == place[right]
    left, right = left[together], right[together]
    alike = np.array(vectors) @ np.array(vectors).T
    scores, same = alike[left, right], person[left] == person[right]
    weights = draws(len(people), resamples=_RESAMPLES)[:, person]
    rates = [equal_error_rate(scores, same)]
    rates += [equal_error_rate(scores, same, each[left] * each[right]) for each in weights]
    low, high = np.nanpercentile(rates[1:], (2.5, 97.5))
    return counts | {"eer": number(rates[0]), "low": number(low), "high": number(high)}


def named(encoder: SpeakerEncoder, said: Sequence[Said]) -> Iterator[dict[str, Any]]:
    """Count for each line how often names are wrong and missing, and how alike the halves of voice prints are."""
    first, last = to_samples(PRINT_S), to_samples(PRINT_S + HEARD_S)
    known = [one.samples for one in said if len(one.samples) >= last]
    prints, starts, ends = (
        np.array([encoder.embed(wave[part]) for wave in known])
        for part in (slice(first), slice(first // 2), slice(first // 2, first))
    )
    one, two = _split(starts @ ends.T)
    halves = {
        f"{at:.2f}": {"one_refused": _share(one < at), "two_taken": _share(two >= at)}
        for at in _THRESHOLDS
    }
    for line, through in LINES.items():
        heard = np.array([encoder.embed(through(wave[first:last])) for wave in known])
        own, others = _split(heard @ prints.T)
        yield {
            "line": line,
            "speakers": len(known),
            "thresholds": {
                f"{at:.2f}": {"false": _share(others >= at), "missed": _share(own < at)}
                for at in _THRESHOLDS
            },
            "at_false": {"false": FALSE, "threshold": number(np.quantile(others, 1 - FALSE))},
            "halves": halves,
        }


def _split(alike: _Floats) -> tuple[_Floats, _Floats]:
    """Return the cosines of each with itself, and with others."""
    return np.diag(alike), alike[~np.eye(len(alike), dtype=bool)]


def _share(which: NDArray[np.bool_]) -> float:
    return round(float(which.mean()), 5)


def _print(result: Mapping[str, Any]) -> None:
    columns = ("corpus", "line", "seconds", "speakers", "pieces", "eer", "low", "high")
    print_rows("pieces against each other", columns, ([*row.values()] for row in result["pieces"]))
    for row in result["names"]:
        title = f"{row['corpus']}, {row['line']}, {row['speakers']} speakers"
        print_rows(
            f"{title}; {FALSE:.0%} false at {row['at_false']['threshold']}",
            ("threshold", "false", "missed", "one refused", "two taken"),
            (
                (
                    at,
                    *(
                        f"{each:.4f}"
                        for part in (rates, row["halves"][at])
                        for each in part.values()
                    ),
                )
                for at, rates in row["thresholds"].items()
            ),
        )

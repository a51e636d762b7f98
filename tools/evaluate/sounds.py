"""`python -m tools.evaluate sounds`: laughs, sighs, crying, coughs, music: how many are found, and how many are none.

`--speech` is the folder of clips that `python -m tools.train sounds` learns from. The speakers and recordings that are
kept apart there are measured on: thresholds were chosen on one half of them, the other is for reporting. Each clip
stands in a quiet room, as loud as it was recorded. A sound is found if there is an event of its class. Precision counts
the clips of all other kinds but those that may be examples of the class themselves. `--calls` is a folder of recordings
of talk, `--music` one of music that was not learnt from: how many events there are an hour.
"""

import argparse
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from streamer.audio import SAMPLE_RATE, AudioChunk, Samples
from streamer.process import one_thread_per_computation
from streamer.settings.tree import Sounds
from streamer.speech.registry import sound_detectors
from streamer_models.sound_network import CLASSES
from tools.data.decoding import decode
from tools.data.manifest import read_manifest
from tools.data.mono_dialogues import HALVES
from tools.evaluate.metrics import draws
from tools.evaluate.output import write_json
from tools.printing import print_rows
from tools.progress import progress
from tools.training.tasks.sound_clips import chosen, group_of, held_out, tuned_on
from tools.training.tasks.sound_scenes import SPEECH, UNSURE

_AROUND = SAMPLE_RATE
_ROOM = 1e-4
_AUDIO = (".ogg", ".wav", ".flac", ".mp3")


@dataclass(frozen=True, slots=True)
class Found:
    """A clip or recording: its kind, speaker, seconds, and of each class the events and their seconds."""

    kind: str
    group: str
    seconds: float
    events: Mapping[str, int]
    covered: Mapping[str, float]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--speech", type=Path, required=True, help="folder with a manifest.csv")
    parser.add_argument("--calls", type=Path, help="folder of recordings of talk")
    parser.add_argument("--music", type=Path, help="folder of music not learnt from")
    parser.add_argument("--half", choices=HALVES, default=HALVES[0], help="of those kept apart")
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    one_thread_per_computation()
    tuning = arguments.half == HALVES[0]
    clips = [
        (kind, group_of(clip), arguments.speech / clip.path)
        for clip, kind in chosen(read_manifest(arguments.speech))
        if held_out(group_of(clip)) and tuned_on(group_of(clip)) == tuning
    ]
    found = [
        found_in(in_silence(wave), kind, group)
        for kind, group, path in progress(clips, "Clips")
        for wave in [decode(path)]
    ]
    result: dict[str, Any] = {"classes": {name: measured(found, name) for name in CLASSES}}
    result["speech"] = hourly([one for one in found if one.kind == SPEECH])
    for name in ("calls", "music"):
        if folder := getattr(arguments, name):
            result[name] = hourly(list(_recordings(folder, name)))
    _print(result)
    write_json(arguments.json, result)


def found_in(wave: Samples, kind: str, group: str) -> Found:
    """Count the events of each class in audio, and add up their seconds."""
    detector = sound_detectors(Sounds(detect=True))(0)
    assert detector is not None  # noqa: S101 - asked for
    events = [
        event for piece in detector.cut(AudioChunk(0, 0, wave)) for event in detector.push(piece)
    ]
    counts, covered = Counter[str](), Counter[str]()
    for event in (*events, *detector.finish()):
        counts[event.sound] += 1
        covered[event.sound] += event.end - event.start
    shares = {name: samples / SAMPLE_RATE for name, samples in covered.items()}
    return Found(kind, group, len(wave) / SAMPLE_RATE, counts, shares)


def in_silence(wave: Samples) -> Samples:
    """Put a second of a quiet room before and behind a clip."""
    rng = np.random.default_rng(0)
    room = rng.normal(0, _ROOM, len(wave) + 2 * _AROUND).astype(np.float32)
    room[_AROUND : _AROUND + len(wave)] += wave
    return room


def measured(found: Sequence[Found], name: str) -> dict[str, Any]:
    """Return recall and precision of a class over clips, with 95 % intervals over resampled speakers."""
    groups = sorted({one.group for one in found})
    place = {group: number for number, group in enumerate(groups)}
    sums = np.zeros((len(groups), 3))  # hits, examples, false
    for one in found:
        said = one.events.get(name, 0) > 0
        if one.kind == name:
            sums[place[one.group], :2] += said, 1
        elif name not in UNSURE.get(one.kind, ()):
            sums[place[one.group], 2] += said
    drawn = draws(len(groups)) @ sums
    hits, examples, false = sums.sum(axis=0)
    return {
        "n": int(examples),
        "false": int(false),
        "recall": _interval(hits, examples, drawn[:, 0], drawn[:, 1]),
        "precision": _interval(hits, hits + false, drawn[:, 0], drawn[:, 0] + drawn[:, 2]),
    }


def hourly(found: Sequence[Found]) -> dict[str, Any]:
    """Return events an hour of each class and of all, and the share of the time that is music."""
    hours = sum(one.seconds for one in found) / 3600
    counts = Counter[str]()
    for one in found:
        counts.update(one.events)
    rates = {name: round(counts[name] / hours, 2) if hours else None for name in CLASSES}
    every = round(sum(counts.values()) / hours, 2) if hours else None
    music = sum(one.covered.get("music", 0.0) for one in found) / 3600
    return {
        "n": len(found),
        "hours": round(hours, 3),
        "per_hour": rates | {"all": every},
        "music": round(music / hours, 4) if hours else None,
    }


def _recordings(folder: Path, kind: str) -> Iterable[Found]:
    files = sorted(path for path in folder.rglob("*") if path.suffix.lower() in _AUDIO)
    for path in progress(files, kind):
        yield found_in(decode(path), kind, path.name)


def _interval(part: float, whole: float, parts: Any, wholes: Any) -> dict[str, float | None]:
    if not whole:
        return {"value": None, "low": None, "high": None}
    drawn = (parts / np.where(wholes > 0, wholes, np.nan))[wholes > 0]
    low, high = np.percentile(drawn, (2.5, 97.5))
    values = {"value": part / whole, "low": low, "high": high}
    return {name: round(float(value), 4) for name, value in values.items()}


def _print(result: Mapping[str, Any]) -> None:
    rows = []
    for name, row in result["classes"].items():
        cells = [
            "-"
            if row[m]["value"] is None
            else "{value:.2f} [{low:.2f}-{high:.2f}]".format(**row[m])
            for m in ("recall", "precision")
        ]
        rows.append((name, row["n"], *cells, row["false"]))
    columns = ("class", "n", "recall", "precision", "false")
    print_rows("clips of speakers kept apart", columns, rows)
    for name in ("speech", "calls", "music"):
        if name in result:
            print(f"{name}: {result[name]}")

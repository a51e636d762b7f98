"""`python -m tools.evaluate partials`: words shown while they are spoken: how many, how soon, how often they change.

Recordings go through the whole pipeline twice, with `asr.partial` and without. Of each utterance with a text:

- `shown`: words on show at its end of speech, as a share of the words of its transcript.
- `changed`: words shown that were later replaced or taken back, by a later update or by the transcript, as a share of
  the words of the transcript (Shangguan et al., 2020: the unstable partial word ratio). Case and punctuation aside.
- `steady`: the share of utterances in which no word changed.
- `delay`: seconds from the end of a word, by `asr.words`, until one was shown in its place.
- `cpu`: milliseconds of the process for each second of audio, without and with.
"""

import argparse
import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

import streamer
from streamer import events
from streamer.api import Engine
from streamer.settings import load as configuration
from tools.command_line import add_set, overrides_of
from tools.evaluate.metrics import resampled, share
from tools.evaluate.output import write_json
from tools.evaluate.transcription import edit_distance, words_of
from tools.progress import progress


@dataclass
class Partials:
    """What was shown of the utterances of one recording."""

    utterances: int = 0
    steady: int = 0
    words: int = 0
    """Of the transcripts."""
    shown: int = 0
    changed: int = 0
    delays: list[float] = field(default_factory=list)
    """Seconds."""
    seconds: float = 0.0
    """Length of the recording."""
    cpu: tuple[float, float] = (0.0, 0.0)
    """CPU seconds without and with."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "recordings", type=Path, nargs="+", metavar="FILE", help="recordings of talk"
    )
    add_set(parser)
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    overrides = {**overrides_of(arguments), "asr.partial": True, "asr.words": True}
    settings = configuration.load(overrides=overrides)
    asr = settings.asr.model_copy(update={"partial": False})
    with Engine.load(settings) as engine:
        without = replace(engine, settings=settings.model_copy(update={"asr": asr}))
        asyncio.run(_analyse(arguments.recordings[0], without))  # whatever happens once only
        found = [
            asyncio.run(_measure(file, engine, without))
            for file in progress(arguments.recordings, "Transcribing")
        ]
    result = {"asr": engine.runtime.asr.name, **report(found)}
    for name, value in result.items():
        print(f"{name}: {value}")
    write_json(arguments.json, result)


async def _measure(file: Path, engine: Engine, without: Engine) -> Partials:
    began = time.process_time()
    await _analyse(file, without)
    between = time.process_time()
    found = measure(await _analyse(file, engine))
    found.cpu = between - began, time.process_time() - between
    return found


async def _analyse(file: Path, engine: Engine) -> list[events.Event]:
    return [event async for event in streamer.analyze(file, engine=engine)]


def measure(said: Sequence[events.Event]) -> Partials:
    """Return what the events of one recording show."""
    found = Partials()
    updates: dict[str, list[tuple[float, list[str]]]] = {}
    for event in said:
        match event:
            case events.SpeechUpdate():
                shown = event.end, words_of(event.text or "")
                updates.setdefault(event.utterance, []).append(shown)
            case events.Utterance(text=str()):
                _add(found, event, updates.pop(event.utterance, []))
            case events.SessionEnded():
                found.seconds = event.duration
    return found


def _add(
    found: Partials, event: events.Utterance, updates: Sequence[tuple[float, list[str]]]
) -> None:
    final = words_of(event.text or "")
    texts = [words for _, words in updates]
    changed = sum(
        revised(before, after) for before, after in zip(texts, [*texts[1:], final], strict=True)
    )
    found.utterances += 1
    found.steady += not changed
    found.words += len(final)
    found.shown += len(texts[-1]) if texts else 0
    found.changed += changed
    ends = [word.end for word in event.words or () for _ in words_of(word.word)]
    if len(ends) == len(final):
        found.delays.extend(_delays(ends, updates))


def revised(before: Sequence[str], after: Sequence[str]) -> int:
    """Return how many of the words that were shown are not in the next text, which may go on."""
    return min(edit_distance(before, after[:count]) for count in range(len(after) + 1))


def _delays(ends: Sequence[float], updates: Sequence[tuple[float, list[str]]]) -> list[float]:
    """Return how long after its end each word of the transcript had one in its place, if it had."""
    delays = []
    for place, end in enumerate(ends):
        showing = (at for at, words in updates if len(words) > place)
        if (first := next(showing, None)) is not None:
            delays.append(first - end)
    return delays


def report(found: Sequence[Partials]) -> dict[str, Any]:
    """Return the figures as they stand in JSON; the interval of `changed` resamples recordings."""
    words = sum(one.words for one in found)
    counts = [[one.changed for one in found], [one.words for one in found]]
    utterances = sum(one.utterances for one in found)
    delays = [delay for one in found for delay in one.delays]
    seconds = sum(one.seconds for one in found)
    cpu = [1000 * sum(one.cpu[side] for one in found) / max(seconds, 1e-9) for side in (0, 1)]
    return {
        "n": len(found),
        "seconds": round(seconds, 1),
        "utterances": utterances,
        "words": words,
        "shown": _share(sum(one.shown for one in found), words),
        "changed": resampled(counts, [str(place) for place in range(len(found))], share),
        "steady": _share(sum(one.steady for one in found), utterances),
        "delay": {
            "median": round(float(np.median(delays)), 2) if delays else None,
            "p95": round(float(np.percentile(delays, 95)), 2) if delays else None,
        },
        "cpu": {"without": round(cpu[0], 1), "with": round(cpu[1], 1)},
    }


def _share(part: float, whole: float) -> float | None:
    return round(float(part / whole), 4) if whole else None

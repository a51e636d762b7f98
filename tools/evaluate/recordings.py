"""`python -m tools.evaluate recordings`: whole recordings through the real pipeline, against turns with emotions.

Each FILE.ogg stands beside FILE.turns.csv (start_s, duration_s, speaker, emotion4; other columns are ignored). What the
pipeline says of a turn is the mean of its utterances, each by the time for which it overlaps the turn; of several
channels, a speaker's is the one that overlaps that speaker's turns most.
"""

import argparse
import asyncio
import csv
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from streamer.api import Engine
from streamer.clock import VirtualClock
from streamer.errors import UserError
from streamer.events import Event, Utterance
from streamer.process import one_thread_per_computation
from streamer.settings import load as configuration
from streamer.sinks import Sink
from streamer.sources.recording.source import RecordingSource
from tools.evaluate.details import KEY, to_json
from tools.evaluate.metrics import Judgements, grouped_report
from tools.evaluate.output import (
    abstention,
    bundle_directory,
    bundle_identity,
    print_table,
    write_json,
)
from tools.progress import progress

TURNS = ".turns.csv"


@dataclass(frozen=True, slots=True)
class SpokenTurn:
    """One line of the reference: times in seconds; `emotion4` is empty where there is none of ours."""

    start: float
    end: float
    speaker: str
    emotion4: str


class Collected(Sink):
    """A sink that keeps the utterances."""

    def __init__(self) -> None:
        self.utterances: list[Utterance] = []

    async def emit(self, event: Event) -> None:
        """Keep it if it is an utterance."""
        if isinstance(event, Utterance):
            self.utterances.append(event)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("--bundle", default="streamer-en-2", help="name or directory of a bundle")
    parser.add_argument(
        "--data", type=Path, required=True, help=f"folder of recordings, each with a FILE{TURNS}"
    )
    parser.add_argument("--config", type=Path, help="settings of the pipeline (YAML)")
    parser.add_argument(
        "--asr",
        choices=("auto", "whisper", "none"),
        help="what transcribes; default: as in the settings",
    )
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    directory = bundle_directory(arguments.bundle)
    overrides = {"emotion.bundle": str(directory)}
    if arguments.asr:
        overrides["asr.backend"] = arguments.asr
    settings = configuration.load(arguments.config, overrides=overrides)
    recordings = find_recordings(arguments.data)
    one_thread_per_computation()
    with Engine.load(settings, print) as engine:
        bundle, labels = engine.bundle, engine.bundle.labels
        heard = {
            file.name: (turns, asyncio.run(_replay(file, engine)))
            for file, turns in progress(recordings, "Replaying")
        }
    judgements, groups = compare(labels, heard)
    result = grouped_report(judgements, groups)
    wanted = sum(turn.emotion4 in labels for turns, _ in heard.values() for turn in turns)
    said = [utterance for _, utterances in heard.values() for utterance in utterances]
    result["missed"] = wanted - result["n"]
    result["transcribed"] = round(
        sum(utterance.text_status == "ok" for utterance in said) / max(1, len(said)), 4
    )
    result["abstention"] = abstention(judgements, bundle.threshold, bundle.thresholds)
    result["bundle"] = bundle_identity(directory)
    result[KEY] = to_json(judgements)
    print_table(f"{arguments.bundle}, {arguments.data}", result, labels)
    for name in ("missed", "transcribed", "abstention"):
        print(f"{name}: {result[name]}")
    write_json(arguments.json, result)


def find_recordings(folder: Path) -> list[tuple[Path, list[SpokenTurn]]]:
    """Return the recordings of a folder that have turns.

    Raises:
        UserError: There is none, or the turns of one cannot be read.
    """
    if not folder.is_dir():
        raise UserError(f"{folder}: not a folder; give the one that holds FILE.ogg and FILE{TURNS}")
    found = []
    for table in sorted(folder.glob(f"*{TURNS}")):
        file = table.with_name(table.name.removesuffix(TURNS) + ".ogg")
        if not file.is_file():
            raise UserError(f"{table}: {file.name} is not beside it")
        found.append((file, read_turns(table)))
    if not found:
        raise UserError(f"{folder}: no FILE{TURNS} here; give the folder that holds them")
    return found


def read_turns(path: Path) -> list[SpokenTurn]:
    """Return the turns of a recording.

    Raises:
        UserError: A column is missing or a value is not a time.
    """
    turns = []
    with path.open(newline="", encoding="utf-8") as file:
        for number, row in enumerate(csv.DictReader(file), start=2):
            try:
                start, duration = float(row["start_s"]), float(row["duration_s"])
                turns.append(
                    SpokenTurn(start, start + duration, row["speaker"], row["emotion4"] or "")
                )
            except KeyError as error:
                raise UserError(f"{path}: the column {error} is missing") from error
            except (TypeError, ValueError) as error:
                raise UserError(
                    f"{path}, line {number}: start_s and duration_s must be numbers"
                ) from error
    return turns


def compare(
    labels: Sequence[str], heard: Mapping[str, tuple[list[SpokenTurn], list[Utterance]]]
) -> tuple[Judgements, dict[str, list[str]]]:
    """Return what was said of the turns with a label of the model; turns of which nothing was said are left out.

    Args:
        labels: Of the model.
        heard: For each recording its turns and the utterances of the pipeline.

    Returns:
        The judgements, clustered by recording, and their groups: recording and speaker.
    """
    truth: list[str] = []
    rows: list[list[float]] = []
    places: list[str] = []
    speakers: list[str] = []
    for name, (turns, utterances) in heard.items():
        predicted = [utterance for utterance in utterances if utterance.probabilities]
        channels = _channels(turns, predicted)
        for turn in turns:
            if turn.emotion4 not in labels:
                continue
            ours = [u for u in predicted if u.channel == channels.get(turn.speaker)]
            shares = np.array([_overlap(turn, utterance) for utterance in ours])
            if not shares.sum():
                continue
            each = np.array([[u.probabilities[label] for label in labels] for u in ours])
            mean = shares @ each
            truth.append(turn.emotion4)
            rows.append(list(mean / mean.sum()))
            places.append(name)
            speakers.append(turn.speaker)
    judgements = Judgements.of(labels, truth, np.array(rows), places)
    return judgements, {"recording": places, "speaker": speakers}


def _channels(turns: Sequence[SpokenTurn], utterances: Sequence[Utterance]) -> dict[str, str]:
    """Return the channel on which each speaker is heard."""
    common: dict[str, Counter[str]] = {}
    for turn in turns:
        for utterance in utterances:
            common.setdefault(turn.speaker, Counter())[utterance.channel] += round(
                1000 * _overlap(turn, utterance)
            )
    return {speaker: counts.most_common(1)[0][0] for speaker, counts in common.items()}


def _overlap(turn: SpokenTurn, utterance: Utterance) -> float:
    """Return seconds in common."""
    return max(0.0, min(turn.end, utterance.end) - max(turn.start, utterance.start))


async def _replay(file: Path, engine: Engine) -> list[Utterance]:
    clock, sink = VirtualClock(), Collected()
    source = RecordingSource(file, clock, channels=engine.settings.audio.channels)
    await engine.run(source, [sink], clock)
    return sink.utterances

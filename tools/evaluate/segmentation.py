"""`python -m tools.evaluate segmentation`: where speech is found, against turns in RTTM.

Each FILE.ogg stands beside FILE.rttm; each of its channels is segmented by itself, as the running program does it,
and compared in frames of 10 ms. A frame of the reference is speech if anybody of that channel speaks at its middle.
Two hypotheses are scored with the same measures:

- at the top, *speech as detected*: each stretch of voiced frames and 200 ms of hangover after it, which are counted
  as they come (they are false alarms where the reference is silent); no pre-roll. It is what the segmenter gives with
  its thresholds and its shortest speech, `pre_roll` 0, and `end_silence` and `tail` 0.2 s.
- `utterances`: from `start` to `end` of each utterance, as the settings cut them, pre-roll and tail included.

`miss` is the share of the reference's speech that is not found, `false_alarm` the share of its silence that is taken
for speech, both over the frames of all files together. Intervals resample files. `leave_one_out` is the lowest F1 and
the highest false alarm that remain when any one file is left out.

`boundaries` compares the ends of utterances: turns of a channel that lie closer than the settings' `end_silence` are
one utterance of the reference. `start` and `end` are hypothesis minus reference in seconds (a start is meant to be
early by the pre-roll), where the utterance does not reach into the neighbouring one too: then it is `merged`. `late` is
the share of starts that cut into the first word.
"""

import argparse
import asyncio
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from streamer.audio import SAMPLE_RATE, AudioChunk, Gap
from streamer.clock import VirtualClock
from streamer.errors import SourceError, UserError
from streamer.registry import DETECTORS
from streamer.settings import load as configuration
from streamer.settings import tree as config
from streamer.sources.recording.source import RecordingSource
from streamer.speech import SpeechEnded
from streamer.speech.registry import make_segmenter
from streamer.speech.segmenter import Segmenter, SegmenterEvent
from tools.command_line import add_set, overrides_of
from tools.evaluate.detection import (
    MEASURES,
    Channel,
    Span,
    boundaries,
    counts_by_file,
    leave_one_out,
    measured,
    merged,
)
from tools.evaluate.output import interval, write_json
from tools.evaluate.rttm import Annotated, find_annotated
from tools.printing import print_rows
from tools.progress import progress

HANGOVER = 0.2
"""Seconds that count as speech after each voiced stretch."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--data", type=Path, required=True, help="folder of recordings, each with a FILE.rttm"
    )
    parser.add_argument("--config", type=Path, help="settings (YAML)")
    parser.add_argument(
        "--detector",
        choices=DETECTORS.names(),
        help="voice detector; default: as in the settings",
    )
    add_set(parser)
    parser.add_argument("--json", type=Path, help="write the figures to this file")


def run(arguments: argparse.Namespace) -> None:
    """Measure, print, write."""
    overrides = overrides_of(arguments)
    if arguments.detector:
        overrides["segmentation.detector"] = arguments.detector
    settings = configuration.load(arguments.config, overrides=overrides).segmentation
    files = {
        annotated.file.name: asyncio.run(segment(annotated, settings))
        for annotated in progress(find_annotated(arguments.data), "Segmenting")
    }
    result = evaluate(files, settings)
    _print(f"{arguments.data}: {settings.detector}", result)
    write_json(arguments.json, result)


async def segment(annotated: Annotated, settings: config.Segmentation) -> list[Channel]:
    """Return what is found on each channel of a recording.

    Raises:
        UserError: The recording cannot be decoded, or a turn is on no channel of it.
    """
    detecting = config.Segmentation.model_validate(
        settings.model_dump()
        | {"pre_roll": 0, "end_silence": HANGOVER, "tail": HANGOVER, "endpoint": "fixed"}
        | {"pause": min(settings.pause, HANGOVER - 0.03)}
    )
    async with RecordingSource(annotated.file, VirtualClock(), dual_mono=False) as source:
        turns = annotated.by_channel(len(source.info.channels))
        ways = [
            [_Cut(make_segmenter(way, channel)) for way in (detecting, settings)]
            for channel in range(len(turns))
        ]
        end = 0
        try:
            async for item in source:
                end = max(end, item.end)
                for cut in ways[item.channel]:
                    cut.push(item)
        except SourceError as error:
            raise UserError(f"{error}; replace it or take it out") from error
    return [
        Channel(
            end / SAMPLE_RATE,
            merged([(turn.start, turn.end) for turn in spoken]),
            *map(_Cut.finish, cuts),
        )
        for spoken, cuts in zip(turns, ways, strict=True)
    ]


class _Cut:
    """A segmenter and the utterances that it has ended."""

    def __init__(self, segmenter: Segmenter) -> None:
        self._segmenter = segmenter
        self._spans: list[Span] = []

    def push(self, item: AudioChunk | Gap) -> None:
        if isinstance(item, Gap):
            self._keep(self._segmenter.gap(item.start, item.end))
        else:
            self._keep(self._segmenter.push(item))

    def finish(self) -> list[Span]:
        self._keep(self._segmenter.flush())
        return self._spans

    def _keep(self, events: Iterable[SegmenterEvent]) -> None:
        self._spans.extend(
            (event.start / SAMPLE_RATE, event.end / SAMPLE_RATE)
            for event in events
            if isinstance(event, SpeechEnded)
        )


def evaluate(
    files: Mapping[str, Sequence[Channel]], settings: config.Segmentation
) -> dict[str, Any]:
    """Return the measures as they stand in JSON (see this module's own documentation).

    Args:
        files: The channels of each recording, by its name.
        settings: What they were segmented by.
    """
    detected = counts_by_file(files, lambda channel: channel.detected)
    cut = counts_by_file(files, lambda channel: channel.utterances)
    channels = [channel for found in files.values() for channel in found]
    result = measured(detected)
    result["seconds"] = round(sum(channel.seconds for channel in channels), 3)
    result["leave_one_out"] = leave_one_out(detected)
    result["utterances"] = measured(cut) | {
        "n": sum(len(channel.utterances) for channel in channels)
    }
    result["boundaries"] = boundaries(channels, settings.silence)
    result["groups"] = {
        "file": {
            name: measured(detected[[place]]) | {"utterances": measured(cut[[place]])}
            for place, name in enumerate(files)
        }
    }
    result["settings"] = settings.model_dump()
    return result


def _print(title: str, result: Mapping[str, Any]) -> None:
    def row(name: str, part: Mapping[str, Any]) -> tuple[str, ...]:
        forms = (part, part["utterances"])
        return (name, *(interval(form[measure]) for form in forms for measure in MEASURES))

    columns = ("part", *MEASURES, *(f"{name} (utterances)" for name in MEASURES))
    files = (row(name, part) for name, part in result["groups"]["file"].items())
    print_rows(title, columns, [row("all", result), (), *files])
    for name in ("leave_one_out", "boundaries"):
        print(f"{name}: {result[name]}")

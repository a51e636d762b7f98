"""From the end of speech to the `utterance` event, on a virtual sound card, beside a stopwatch outside.

`streamer listen` hears recordings through PortAudio while they are played. Each event carries its own latency.
The stopwatch knows nothing of it: a second recorder of the card notes when the tone before each recording sounded;
where that tone stands in what `streamer listen --record` kept tells at which time each of its events was; the clock
stops when the event's line arrives here.
"""

import argparse
import os
import statistics
import subprocess
import tempfile
import threading
import time
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from streamer import events
from streamer.errors import UserError
from streamer.settings.tree import Segmentation
from tools.benchmark.measuring import write_json
from tools.benchmark.playing import (
    LOUD,
    QUIET,
    add_recordings,
    add_settings,
    listening,
    mono,
    settings_of,
    tones,
    write_mono,
)
from tools.printing import print_rows
from tools.virtual_card import VirtualCard, missing

_RATE = 48_000
_CUT = 0.05
"""Seconds that an endpoint may wait beyond the hangover; more, and speech was cut in two because it went on and on."""


@dataclass(frozen=True)
class Measured:
    """One utterance; milliseconds."""

    told: float
    """The event's own latency."""
    stopwatch: float
    endpoint: float
    """Of it, silence waited for to be sure that speech had ended."""
    transcription: float
    """Of it, waited for the transcript after the endpoint; 0 if it was ready."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_recordings(parser, seconds=60)
    add_settings(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    if reason := missing():
        raise UserError(reason)
    settings = settings_of(arguments)
    sounded = []
    with tempfile.TemporaryDirectory(prefix="card") as folder, VirtualCard(Path(folder)) as card:
        kept = Path(folder) / "heard.flac"
        with listening(card, arguments.set, kept) as said:
            for number, recording in enumerate(arguments.recordings):
                played = Path(folder) / f"{number}.wav"
                write_mono(recording, arguments.seconds, played)
                with _Witness(card) as witness, card.playing(played) as player:
                    player.wait()
                    time.sleep(QUIET)
                    sounded.append(witness.begun())
        heard, rate = mono(kept)
    places = tones(heard, rate)
    if len(places) != len(sounded):
        raise UserError(
            f"{len(sounded)} tones were played, {len(places)} heard: too busy a machine?"
        )
    measured = measure(said, places, sounded, settings.segmentation)
    if not measured:
        raise UserError("no utterance was heard")
    load = os.getloadavg()[0]
    _show(measured, load)
    write_json(arguments.json, "latency", {"load": load, "utterances": measured})


def measure(
    said: Sequence[tuple[float, events.Event]],
    places: Sequence[float],
    sounded: Sequence[float],
    segmentation: Segmentation,
) -> list[Measured]:
    """Return what the stopwatch says beside what the events say.

    Args:
        said: when each event arrived here, and the event.
        places: where the tones stand on the time axis of the events, in seconds.
        sounded: when they sounded, in the time of the arrivals.
        segmentation: how utterances were cut.
    """
    measured = []
    for arrived, event in said:
        if not isinstance(event, events.Utterance) or event.start < places[0]:
            continue
        if event.latency_ms.endpoint / 1000 > segmentation.silence + _CUT:
            continue
        tone = bisect_right(places, event.start) - 1
        spoken = sounded[tone] + (event.end - segmentation.tail) - places[tone]
        measured.append(
            Measured(
                told=event.latency_ms.total,
                stopwatch=1000 * (arrived - spoken),
                endpoint=event.latency_ms.endpoint,
                transcription=event.latency_ms.transcription,
            )
        )
    return measured


class _Witness:
    """Listens to the card by itself, to tell when the first sound was played. A context manager."""

    def __init__(self, card: VirtualCard) -> None:
        command = ["parec", "--raw", "--format=s16le", f"--rate={_RATE}", "--channels=1"]
        self._process = subprocess.Popen(
            [*command, "--latency-msec=5"], env=card.environment, stdout=subprocess.PIPE
        )
        self._origin = float("inf")
        self._onset: int | None = None
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        time.sleep(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._thread.join()
        self._process.wait()

    def begun(self) -> float:
        """Return when that was, in seconds of time.monotonic()."""
        if self._onset is None:
            raise UserError("the virtual card stayed silent")
        return self._origin + self._onset / _RATE

    def _listen(self) -> None:
        output = self._process.stdout
        count = 0
        while output and (data := output.read(480)):
            samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2")
            loud = np.flatnonzero(np.abs(samples.astype(np.int32)) >= LOUD)
            if self._onset is None and len(loud):
                self._onset = count + int(loud[0])
            count += len(samples)
            # Samples come late when the machine is busy, never early: the earliest tell the truth.
            self._origin = min(self._origin, time.monotonic() - count / _RATE)
        if output:
            output.close()


def _show(measured: Sequence[Measured], load: float) -> None:
    rows = {
        "end of speech to event, as reported": [m.told for m in measured],
        "the same by the stopwatch": [m.stopwatch for m in measured],
        "  silence waited for": [m.endpoint for m in measured],
        "  after that, transcript ready": [
            m.told - m.endpoint for m in measured if not m.transcription
        ],
        "  after that, transcript late": [m.told - m.endpoint for m in measured if m.transcription],
        "reported less stopwatch": [m.told - m.stopwatch for m in measured],
    }
    cells: list[tuple[object, ...]] = []
    for name, values in rows.items():
        if values:
            ordered = sorted(values)
            p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
            figures = (statistics.median(ordered), p95, ordered[-1])
            cells.append((name, len(values), *(f"{figure:.0f}" for figure in figures)))
    title = f"Latency in ms, {len(measured)} utterances (load average {load:.1f})"
    print_rows(title, ("", "n", "p50", "p95", "max"), cells)

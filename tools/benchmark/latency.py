"""From the end of speech to the `utterance` event, on a virtual sound card, beside a stopwatch outside.

`streamer listen` hears recordings through PortAudio while they are played. Each event tells its own latency.
The stopwatch knows nothing of it: a second listener of the card notes when the playing began, a replay of the same
recording tells where each utterance ends in it, and the clock stops when the event's line arrives here.
"""

import argparse
import os
import queue
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from rich.console import Console
from rich.table import Table

from streamer import configuration, events
from streamer.errors import UserError
from streamer.resources import sample_call
from tools.benchmark.measuring import write_json
from tools.virtual_card import VirtualCard, missing

_RATE = 48_000
_BEEP = 0.02
"""Seconds of a tone before each recording, from which the witness knows that playing has begun; no speech."""
_LOUD = 1000
"""Sample value (of 32,768) of the tone, which nothing before it reaches."""
_QUIET = 2.0
"""Seconds of silence before and after each recording: its last utterance has ended by then."""

_SAME = 0.25
"""Seconds by which two listeners may differ about where an utterance ends."""


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
    """Declares the options."""
    parser.add_argument(
        "recordings",
        nargs="*",
        type=Path,
        metavar="FILE",
        default=[sample_call()],
        help="what is played (default: the sample call)",
    )
    parser.add_argument(
        "--seconds", type=float, default=60, help="played of each recording (default 60)"
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of streamer, e.g. asr.backend=pocketsphinx",
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def run(arguments: argparse.Namespace) -> None:
    """Measures and prints."""
    if reason := missing():
        raise UserError(reason)
    measured: list[Measured] = []
    with (
        tempfile.TemporaryDirectory(prefix="card") as folder,
        VirtualCard(Path(folder)) as card,
        _listening(card, arguments.set) as arrivals,
    ):
        for number, recording in enumerate(arguments.recordings):
            played = Path(folder) / f"{number}.wav"
            _write_mono(recording, arguments.seconds, played)
            measured += _measure(card, played, arguments.set, arrivals)
    if not measured:
        raise UserError("no utterance was heard both live and in the replay")
    load = os.getloadavg()[0]
    _show(measured, load)
    write_json(arguments.json, "latency", {"load": load, "utterances": measured})


def _measure(
    card: VirtualCard,
    played: Path,
    settings: Sequence[str],
    arrivals: "queue.Queue[tuple[float, events.Event]]",
) -> list[Measured]:
    """Play a recording, and pair what was heard with what a replay hears."""
    expected = [e for e in _replayed(played, settings) if isinstance(e, events.Utterance)]
    tail = configuration.load().segmentation.tail
    with _Witness(card) as witness, card.playing(played) as player:
        player.wait()
        time.sleep(_QUIET)
        start = witness.begun()
    heard = []
    while not arrivals.empty():
        arrived, event = arrivals.get()
        if isinstance(event, events.Utterance):
            heard.append((arrived, event))
    ends = [start + event.end - tail for event in expected]
    paired = pair([arrived - event.latency_ms.total / 1000 for arrived, event in heard], ends)
    if len(paired) < max(len(heard), len(expected)):
        print(
            f"{played.name}: {len(heard)} utterances live, {len(expected)} in the replay; "
            f"{len(paired)} are the same"
        )
    return [
        Measured(
            told=event.latency_ms.total,
            stopwatch=1000 * (arrived - ends[place]),
            endpoint=event.latency_ms.endpoint,
            transcription=event.latency_ms.transcription,
        )
        for (arrived, event), place in ((heard[index], place) for index, place in paired)
    ]


def pair(told: Sequence[float], known: Sequence[float]) -> list[tuple[int, int]]:
    """Which moments are the same: the places of those that are each other's nearest, and near.

    Live, an utterance now and then ends elsewhere than in the replay, because the sound card does not begin
    at the same sample, and detectors hear frames.
    """
    distance = np.abs(np.subtract.outer(np.asarray(told), np.asarray(known)))
    if not distance.size:
        return []
    nearest, back = distance.argmin(axis=1), distance.argmin(axis=0)
    return [
        (index, int(place))
        for index, place in enumerate(nearest)
        if back[place] == index and distance[index, place] < _SAME
    ]


@contextmanager
def _listening(
    card: VirtualCard, settings: Sequence[str]
) -> "Iterator[queue.Queue[tuple[float, events.Event]]]":
    """`streamer listen` at the card; gives what it says, and when that arrived."""
    arrivals: queue.Queue[tuple[float, events.Event]] = queue.Queue()
    program = subprocess.Popen(
        [*_streamer("listen", settings), "--jsonl", "-"],
        env=card.environment,
        stdout=subprocess.PIPE,
    )

    def read() -> None:
        for line in program.stdout or ():
            arrivals.put((time.monotonic(), events.parse(line)))

    reader = threading.Thread(target=read)
    reader.start()
    try:
        arrivals.get(timeout=120)  # session_started: it listens
        time.sleep(3)
        yield arrivals
    finally:
        program.send_signal(signal.SIGINT)
        program.wait(30)
        reader.join()


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

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._process.terminate()
        self._thread.join()
        self._process.wait()

    def begun(self) -> float:
        """When that was, in seconds of time.monotonic()."""
        if self._onset is None:
            raise UserError("the virtual card stayed silent")
        return self._origin + self._onset / _RATE

    def _listen(self) -> None:
        output = self._process.stdout
        count = 0
        while output and (data := output.read(480)):
            samples = np.frombuffer(data[: len(data) // 2 * 2], "<i2")
            loud = np.flatnonzero(np.abs(samples.astype(np.int32)) >= _LOUD)
            if self._onset is None and len(loud):
                self._onset = count + int(loud[0])
            count += len(samples)
            # Samples come late when the machine is busy, never early: the earliest tell the truth.
            self._origin = min(self._origin, time.monotonic() - count / _RATE)
        if output:
            output.close()


def _write_mono(recording: Path, seconds: float, target: Path) -> None:
    """The recording as the card's microphone would hear it, a tone at its beginning for the witness."""
    from streamer.sources.decoder import Decoder, Missing

    with Decoder(recording) as decoder:
        rate = decoder.rate
        pieces = []
        for item in decoder.blocks(rate):
            if not isinstance(item, Missing):
                pieces.append(item.samples.mean(axis=1))
            if sum(map(len, pieces)) > seconds * rate:
                break
    heard = np.concatenate(pieces)[: round(seconds * rate)]
    beep = 0.3 * np.cos(2 * np.pi * 1000 * np.arange(round(_BEEP * rate)) / rate)
    silence = np.zeros(round(_QUIET * rate))
    pcm = np.clip(np.concatenate([beep, silence, heard, silence]), -1, 1) * 32767
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.astype("<i2").tobytes())


def _replayed(recording: Path, settings: Sequence[str]) -> list[events.Event]:
    command = [*_streamer("replay", settings), str(recording), "--speed", "max", "--jsonl", "-"]
    quick = ["--set", "asr.backend=none"]
    done = subprocess.run([*command, *quick], capture_output=True, check=True)
    return [events.parse(line) for line in done.stdout.splitlines()]


def _streamer(command: str, settings: Sequence[str]) -> list[str]:
    options = [option for setting in settings for option in ("--set", setting)]
    return [sys.executable, "-m", "streamer.cli", command, *options]


def _show(measured: Sequence[Measured], load: float) -> None:
    rows = {
        "end of speech to event, as told": [m.told for m in measured],
        "the same by the stopwatch": [m.stopwatch for m in measured],
        "  silence waited for": [m.endpoint for m in measured],
        "  after that, transcript ready": [
            m.told - m.endpoint for m in measured if not m.transcription
        ],
        "  after that, transcript late": [m.told - m.endpoint for m in measured if m.transcription],
        "told less stopwatch": [m.told - m.stopwatch for m in measured],
    }
    table = Table(title=f"Latency in ms, {len(measured)} utterances (load average {load:.1f})")
    for column in ("", "n", "p50", "p95", "max"):
        table.add_column(column, justify="right" if column else "left")
    for name, values in rows.items():
        if values:
            ordered = sorted(values)
            p95 = ordered[min(len(ordered) - 1, round(0.95 * (len(ordered) - 1)))]
            figures = (statistics.median(ordered), p95, ordered[-1])
            table.add_row(name, str(len(values)), *(f"{figure:.0f}" for figure in figures))
    Console().print(table)

"""What `streamer listen` says about recordings that are played to a virtual sound card."""

import argparse
import math
import signal
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from streamer import events
from streamer.audio import to_pcm16
from streamer.errors import UserError
from streamer.settings import load as configuration
from streamer.settings.shipped import sample_call
from streamer.settings.tree import Settings
from tools.command_line import add_set, overrides_of
from tools.virtual_card import VirtualCard

_BEEP = 0.02
"""Seconds of a tone before each recording, from which its place in what was heard is known; no speech."""
LOUD = 1000
"""Sample value (of 32,768) of the tone, which nothing before it reaches."""
QUIET = 2.0
"""Seconds of silence before and after each recording: its last utterance has ended by then."""
_ALONE = 1.5
"""Seconds of silence around a tone that stands before a recording."""


def add_recordings(parser: argparse.ArgumentParser, *, seconds: float) -> None:
    """Declare what is played."""
    parser.add_argument(
        "recordings",
        nargs="*",
        type=Path,
        metavar="FILE",
        default=[sample_call()],
        help="what is played (default: the sample call)",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=seconds,
        help=f"played of each recording (default {seconds:g})",
    )


def add_settings(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_set(parser)
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures here, too")


def settings_of(arguments: argparse.Namespace) -> Settings:
    """Return all settings of `streamer listen`, those from `add_settings` among them."""
    return configuration.load(overrides=overrides_of(arguments))


def tones(heard: NDArray[np.float32], rate: int) -> list[float]:
    """Return where tones stand alone in a recording, in seconds."""
    loud = np.flatnonzero(np.abs(heard) >= LOUD / 32_768)
    if not len(loud):
        return []
    alone = round(_ALONE * rate)
    begins = loud[np.diff(loud, prepend=-alone) >= alone]
    ends = loud[np.diff(loud, append=len(heard) + alone) >= alone]
    as_long = np.abs(ends - begins - _BEEP * rate) < _BEEP * rate / 10
    return [float(place) / rate for place in begins[as_long]]


@contextmanager
def listening(
    card: VirtualCard, settings: Sequence[str], kept: Path, devices: Sequence[str] = ()
) -> Iterator[list[tuple[float, events.Event]]]:
    """Run `streamer listen` at the card; yield what it says, and when that arrived, while it says it.

    Args:
        card: where it listens.
        settings: each as KEY=VALUE.
        kept: file that what is heard is written to.
        devices: microphones; none: the default one.
    """
    said: list[tuple[float, events.Event]] = []
    options = [option for setting in settings for option in ("--set", setting)]
    options += [option for device in devices for option in ("--device", device)]
    program = subprocess.Popen(
        [
            *(sys.executable, "-m", "streamer.cli", "listen", *options),
            *("--jsonl", "-", "--record", str(kept)),
        ],
        env=card.environment,
        stdout=subprocess.PIPE,
    )
    listens = threading.Event()

    def read() -> None:
        for line in program.stdout or ():
            said.append((time.monotonic(), events.parse(line)))
            listens.set()

    reader = threading.Thread(target=read)
    reader.start()
    try:
        if not listens.wait(120):
            raise UserError("streamer listen does not listen")
        time.sleep(3)
        yield said
    finally:
        program.send_signal(signal.SIGINT)
        program.wait(30)
        reader.join()


def replaying(
    recordings: Sequence[Path], settings: Sequence[str], folder: Path
) -> list[list[events.Event]]:
    """Return what `streamer replay` says about recordings."""
    options = [option for setting in settings for option in ("--set", setting)]
    command = [sys.executable, "-m", "streamer.cli", "replay", *map(str, recordings)]
    replayed = folder / "replayed"
    replayed.mkdir(exist_ok=True)
    subprocess.run(
        [*command, "--speed", "max", "--quiet", "--jsonl", f"{replayed}/", *options], check=True
    )
    return [
        [events.parse(line) for line in (replayed / f"{file.stem}.jsonl").read_text().splitlines()]
        for file in recordings
    ]


def write_mono(recording: Path, seconds: float, target: Path) -> None:
    """Write the recording as the card's microphone gets it, a tone at its beginning for the witness."""
    heard, rate = mono(recording, seconds)
    beep = 0.3 * np.cos(2 * np.pi * 1000 * np.arange(round(_BEEP * rate)) / rate)
    silence = np.zeros(round(QUIET * rate))
    pcm = to_pcm16(np.concatenate([beep, silence, heard, silence]))
    with wave.open(str(target), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(pcm.tobytes())


def channels(recording: Path) -> list[tuple[NDArray[np.float32], int]]:
    """Return each channel of a recording, and its sample rate."""
    from streamer.sources.recording.decoder import Decoder
    from streamer.sources.recording.track import Missing

    with Decoder(recording) as decoder:
        rate = decoder.rate
        blocks = (item for item in decoder.blocks(rate) if not isinstance(item, Missing))
        heard = np.concatenate([block.samples for block in blocks])
    return [(channel, rate) for channel in heard.T]


def mono(recording: Path, seconds: float = math.inf) -> tuple[NDArray[np.float32], int]:
    """Return the beginning of a recording, its channels mixed, and its sample rate."""
    from streamer.sources.recording.decoder import Decoder
    from streamer.sources.recording.track import Missing

    with Decoder(recording) as decoder:
        rate = decoder.rate
        pieces: list[NDArray[np.float32]] = []
        for item in decoder.blocks(rate):
            if not isinstance(item, Missing):
                pieces.append(item.samples.mean(axis=1))
            if sum(map(len, pieces)) > seconds * rate:
                break
    heard = np.concatenate(pieces)
    return (heard[: round(seconds * rate)] if seconds < math.inf else heard), rate

"""What live listening gives up on a busy machine, and whether it says so: a virtual sound card beside busy processes.

The lag of an event is how much later it arrived than its sound ended; `live.max_lag` is the promise,
for an utterance whose transcript is waited for, too. Nothing is lost silently if the events are
numbered without a hole, each speech that began has its utterance, and time that passed is time heard or a gap.
"""

import argparse
import contextlib
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from streamer import events
from streamer.errors import UserError
from streamer.settings.shipped import sample_call
from tools.benchmark.measuring import conditions, write_json
from tools.benchmark.playing import add_settings, listening, settings_of, write_mono
from tools.virtual_card import VirtualCard, missing

_SLACK = 1.0
"""Seconds by which a busy machine may delay what is on its way."""


@dataclass(frozen=True)
class Burdened:
    """What came of it."""

    max_lag: float
    """Seconds promised."""
    lag: float
    """Seconds that the latest event came after its sound, utterances apart."""
    utterance_lag: float
    """The same of utterances, which may wait for their transcripts."""
    texts: dict[str, int]
    """Utterances by what became of their text."""
    gaps: float
    """Seconds of audio lost, and reported."""
    unaccounted: float
    """Seconds that passed and are neither analysed nor reported as lost."""
    broken: list[str]
    """Promises that were not kept."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "recording",
        nargs="?",
        type=Path,
        metavar="FILE",
        default=sample_call(),
        help="what is played (default: the sample call)",
    )
    parser.add_argument("--seconds", type=float, default=45, help="played of it (default 45)")
    parser.add_argument(
        "--busy", type=int, default=2, help="processes that take what they can get (default 2)"
    )
    add_settings(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    if reason := missing():
        raise UserError(reason)
    settings = settings_of(arguments)
    with tempfile.TemporaryDirectory(prefix="card") as place, VirtualCard(Path(place)) as card:
        played = Path(place) / "played.wav"
        write_mono(arguments.recording, arguments.seconds, played)
        with listening(card, arguments.set, Path(place) / "heard.flac") as said:
            with busy(arguments.busy), card.playing(played) as player:
                player.wait()
            time.sleep(settings.live.max_lag)
            ended = time.monotonic()
    result = judge(said, ended, settings.live.max_lag)
    print(conditions())
    for name, value in asdict(result).items():
        print(f"{name:14} {round(value, 2) if isinstance(value, float) else value}")
    write_json(arguments.json, "load", {"busy": arguments.busy, "result": result})


@contextlib.contextmanager
def busy(count: int) -> Iterator[None]:
    """Keep so many processes taking what processor time they can get."""
    command = [sys.executable, "-c", "while True: pass"]
    processes = [subprocess.Popen(command) for _ in range(count)]
    try:
        yield
    finally:
        for process in processes:
            process.kill()
            process.wait()


def judge(said: Sequence[tuple[float, events.Event]], ended: float, max_lag: float) -> Burdened:
    """Return what is to be said of events and when they arrived; the program was asked to end at `ended`."""
    begun = said[0][0]
    emitted = [event for _, event in said]
    lags = {
        kind: max(
            (arrived - begun - e.end for arrived, e in said if isinstance(e, kind)), default=0.0
        )
        for kind in (events.SpeechStarted, events.SpeechUpdate, events.Utterance)
    }
    lost = sum(e.end - e.start for e in emitted if isinstance(e, events.Gap))
    duration = sum(e.duration for e in emitted if isinstance(e, events.SessionEnded))
    started = Counter(e.utterance for e in emitted if isinstance(e, events.SpeechStarted))
    spoken = Counter(e.utterance for e in emitted if isinstance(e, events.Utterance))
    broken = {
        "events are missing": [e.seq for e in emitted] != list(range(len(emitted))),
        "speech without its utterance": started != spoken,
        "later than max_lag": max(lags.values()) > max_lag + _SLACK,
        "no end": not isinstance(emitted[-1], events.SessionEnded),
    }
    return Burdened(
        max_lag=max_lag,
        lag=max(lags[events.SpeechStarted], lags[events.SpeechUpdate]),
        utterance_lag=lags[events.Utterance],
        texts=dict(Counter(e.text_status for e in emitted if isinstance(e, events.Utterance))),
        gaps=lost,
        unaccounted=max(0.0, ended - begun - duration),
        broken=[what for what, is_so in broken.items() if is_so],
    )

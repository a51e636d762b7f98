"""An archive of calls composed of recordings: as many as wanted, of all lengths, the same for the same seed.

One in four is an excerpt of a long recording, with its channels; the others are dialogues of two speakers who take
turns, every other one with a channel for each speaker.
"""

import argparse
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from streamer.audio import SAMPLE_RATE
from streamer.errors import UserError
from streamer.settings.shipped import sample_call
from tools.data.decoding import decode_channels

_LONG = 60 * SAMPLE_RATE
"""Samples from which on a recording is one to make excerpts of; shorter ones are turns of dialogues."""
_LONGEST_TURN = 12 * SAMPLE_RATE
_SKEW = 12
"""The higher, the more calls are short: of 10 s to 30 min, four in five are shorter than 15 s."""
_RECORDINGS = 400
"""Turns are chosen among so many recordings."""

Samples = NDArray[np.float32]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument(
        "--data",
        type=Path,
        nargs="+",
        metavar="DIR",
        help="folders of recordings, with all in them (default: the sample call)",
    )
    parser.add_argument("--out", type=Path, required=True, metavar="DIR", help="where calls go")
    parser.add_argument("--calls", type=int, default=200, help="how many (default 200)")
    parser.add_argument("--shortest", type=float, default=10.0, help="seconds (default 10)")
    parser.add_argument("--longest", type=float, default=1800.0, help="seconds (default 1800)")
    parser.add_argument("--seed", type=int, default=0, help="default 0")


def run(arguments: argparse.Namespace) -> None:
    """Compose the calls and say how many hours they make."""
    lengths = durations(arguments.calls, arguments.shortest, arguments.longest)
    compose(arguments.out, lengths, arguments.data or [], arguments.seed)
    print(f"{arguments.out}: {len(lengths)} calls, {sum(lengths) / 3600:.2f} hours")


def durations(count: int, shortest: float, longest: float) -> list[float]:
    """Return lengths from the shortest to the longest call, many more short ones, in seconds."""
    places = [((number + 0.5) / count) ** _SKEW for number in range(count)]
    return [shortest * (longest / shortest) ** place for place in places]


def compose(
    out: Path, lengths: Sequence[float], folders: Sequence[Path] = (), seed: int = 0
) -> list[Path]:
    """Write a FLAC file for each call.

    Args:
        out: where to.
        lengths: seconds of each call.
        folders: of recordings, searched through; none: the sample call.
        seed: another one gives other calls.

    Raises:
        UserError: there are no recordings.
    """
    found = sorted(path for folder in folders for path in _recordings(folder))
    if not found and not folders:
        found = [sample_call()]
    if not found:
        raise UserError(f"{', '.join(map(str, folders))}: no recordings there")
    random = np.random.default_rng(seed)
    if len(found) > _RECORDINGS:
        found = [found[i] for i in sorted(random.choice(len(found), _RECORDINGS, replace=False))]
    long = [path for path in found if _samples(path).shape[1] >= _LONG]
    short = [path for path in found if path not in long] or long
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for number, seconds in enumerate(lengths):
        own = np.random.default_rng((seed, number))
        length = round(seconds * SAMPLE_RATE)
        if long and number % 4 == 3:
            samples = _excerpt(_samples(long[int(own.integers(len(long)))]), length, own)
        else:
            samples = _dialogue(short, length, own, together=number % 2 == 0)
        path = out / f"call-{number:04}.flac"
        soundfile.write(path, samples.T, SAMPLE_RATE, subtype="PCM_16")
        written.append(path)
    return written


def _recordings(folder: Path) -> Iterator[Path]:
    return (path for path in folder.rglob("*") if path.suffix in {".ogg", ".wav", ".flac"})


@lru_cache(maxsize=_RECORDINGS)
def _samples(path: Path) -> Samples:
    """Return the samples, float32 [channels, n]."""
    return decode_channels(path)


def _excerpt(recording: Samples, length: int, random: np.random.Generator) -> Samples:
    """Return so much of a recording from anywhere on, and over again."""
    begin = random.integers(recording.shape[1])
    return np.take(recording, range(begin, begin + length), axis=1, mode="wrap")


def _dialogue(
    recordings: Sequence[Path], length: int, random: np.random.Generator, *, together: bool
) -> Samples:
    """Return two speakers who take turns with pauses: float32 [1 or 2, length], over a little noise."""
    made = random.normal(0, 3e-4, (2, length)).astype(np.float32)
    at, turn = 0, 0
    while at < length:
        said = _samples(recordings[int(random.integers(len(recordings)))])[0][:_LONGEST_TURN]
        end = min(length, at + len(said))
        made[turn % 2, at:end] += said[: end - at]
        at = end + int(random.uniform(0.2, 1.5) * SAMPLE_RATE)
        turn += 1
    return made.sum(axis=0, keepdims=True) if together else made

"""Whether `streamer listen` hears the utterances that `streamer replay` hears in the same recording.

Recordings are played to virtual sound cards, several at a time, each to one of its own: a speaker of one conversation.
A tone before each marks where it begins in the recording made. Two utterances agree if both ends lie within 60 ms.

The labels are compared only if recordings are played one at a time, each in a session of its own: what the other
speakers say is context, too.
"""

import argparse
import os
import tempfile
import time
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from streamer import events
from streamer.errors import UserError
from tools.benchmark.measuring import write_json
from tools.benchmark.playing import (
    QUIET,
    add_recordings,
    add_settings,
    channels,
    listening,
    replaying,
    tones,
    write_mono,
)
from tools.printing import print_rows
from tools.virtual_card import VirtualCard, missing

WITHIN = 0.0605
"""Seconds that the ends of utterances may lie apart; times on the wire are rounded to milliseconds."""
_MOST = 7
"""Recordings that are played at a time: `listen` takes eight devices, and the virtual card itself is one."""


@dataclass(frozen=True)
class Compared:
    """One recording."""

    recording: str
    live: int
    """Utterances heard live."""
    replayed: int
    """Utterances heard in the replay."""
    agree: int
    """Utterances heard in both."""
    same_label: int
    """Of these, with the same label."""

    @property
    def share(self) -> float:
        """Of all utterances of both, how many are in both."""
        return 2 * self.agree / max(1, self.live + self.replayed)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    add_recordings(parser, seconds=30)
    parser.add_argument(
        "--together",
        type=int,
        default=_MOST,
        choices=range(1, _MOST + 1),
        metavar="N",
        help=f"recordings that are played at a time, 1 to {_MOST} (default {_MOST})",
    )
    add_settings(parser)


def run(arguments: argparse.Namespace) -> None:
    """Measure and print."""
    if reason := missing():
        raise UserError(reason)
    settings = ["asr.backend=none", *arguments.set]
    compared: list[Compared] = []
    for first in range(0, len(arguments.recordings), arguments.together):
        recordings = arguments.recordings[first : first + arguments.together]
        compared += _compare(recordings, arguments.seconds, settings)
    alone = arguments.together == 1
    load = os.getloadavg()[0]
    _show(compared, load, labels=alone)
    write_json(arguments.json, "agreement", {"load": load, "recordings": compared})


def pairs(
    live: Iterable[events.Utterance], replayed: Iterable[events.Utterance], begin: float
) -> list[tuple[events.Utterance, events.Utterance]]:
    """Return the utterances that agree; what was heard live began `begin` seconds into the session."""
    left = list(replayed)
    found = []
    for heard in live:
        for other in left:
            apart = heard.start - begin - other.start, heard.end - begin - other.end
            if max(map(abs, apart)) <= WITHIN:
                found.append((heard, other))
                left.remove(other)
                break
    return found


def _compare(recordings: Sequence[Path], seconds: float, settings: Sequence[str]) -> list[Compared]:
    """Play recordings, all at a time, and replay them."""
    names = [f"card{number}" for number in range(len(recordings))]
    with tempfile.TemporaryDirectory(prefix="card") as place:
        folder = Path(place)
        played = [folder / f"{name}.wav" for name in names]
        for recording, file in zip(recordings, played, strict=True):
            write_mono(recording, seconds, file)
        kept = folder / "heard.flac"
        with (
            VirtualCard(folder, names) as card,
            listening(card, settings, kept, names) as said,
        ):
            with ExitStack() as stack:
                playing = zip(played, names, strict=True)
                for player in [stack.enter_context(card.playing(*each)) for each in playing]:
                    player.wait()
            time.sleep(QUIET)
        places = [tones(heard, rate) for heard, rate in channels(kept)]
        replays = replaying(played, settings, folder)
    compared = []
    for recording, name, tone, replay in zip(recordings, names, places, replays, strict=True):
        if len(tone) != 1:
            raise UserError(f"{recording}: its tone was not heard: too busy a machine?")
        live = [e for _, e in said if isinstance(e, events.Utterance) and e.channel == name]
        again = [e for e in replay if isinstance(e, events.Utterance)]
        both = pairs(live, again, tone[0])
        same = sum(heard.emotion == other.emotion for heard, other in both)
        compared.append(Compared(recording.name, len(live), len(again), len(both), same))
    return compared


def _show(compared: Sequence[Compared], load: float, *, labels: bool) -> None:
    rows = []
    whole = Compared(
        "all",
        *(
            sum(getattr(one, name) for one in compared)
            for name in ("live", "replayed", "agree", "same_label")
        ),
    )
    for one in (*compared, whole):
        figures = [one.live, one.replayed, one.agree, *([one.same_label] if labels else [])]
        rows.append((one.recording, *figures, f"{one.share:.0%}"))
    columns = (
        "recording",
        "live",
        "replayed",
        "agree",
        *(["same label"] if labels else []),
        "share",
    )
    print_rows(f"Live beside replayed (load average {load:.1f})", columns, rows)
    differ = sum(one.live != one.replayed for one in compared)
    print(f"{differ} of {len(compared)} recordings differ in the number of utterances")

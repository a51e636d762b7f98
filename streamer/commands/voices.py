"""`streamer voices`: people whose names stand in events, by their voices."""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from streamer.commands import OK, Subparsers, add_settings_options, load_settings
from streamer.errors import SourceError, UserError
from streamer.process import one_thread_per_computation

if TYPE_CHECKING:
    from streamer.audio import Samples
    from streamer.settings.tree import Settings
    from streamer.sources import AudioSource

NOTE = (
    "A voice print is biometric data (GDPR, Article 9; BIPA in Illinois; others elsewhere): enroll only people who"
    " agreed to it."
)
RATES = (
    "About 1 stranger in 100 is taken for a given person, and 1 in 20 enrolled people is not recognised, over the"
    " microphone that they were enrolled over; over a telephone nearly nobody is: see docs/speakers.md."
)
LEAST, MOST = 10.0, 60.0
"""Seconds of speech that a voice print is made of."""
_ONE_VOICE = 0.5
"""Cosine of the halves of the speech under which it is taken to be several people's: no speaker of 63 was refused."""


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "voices",
        parents=parents,
        help="enroll, list and forget people by their voices",
        description="People whose names stand in events, with speakers.enrolled. Voice prints stay in the state"
        f" directory. {RATES} {NOTE}",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True, title="actions")
    enroll = actions.add_parser("enroll", parents=parents, help="learn a voice", description=NOTE)
    enroll.add_argument("name", help="as it will stand in events")
    enroll.add_argument("file", nargs="?", help="recording of this person alone, 10 s or more")
    enroll.add_argument("--device", metavar="NAME", help="record 20 s from this microphone instead")
    add_settings_options(enroll)
    enroll.set_defaults(run=_enroll)
    listing = actions.add_parser("list", parents=parents, help="who is enrolled")
    listing.set_defaults(run=_list)
    forget = actions.add_parser("forget", parents=parents, help="remove a voice print")
    forget.add_argument("name")
    forget.set_defaults(run=_forget)


def _enroll(options: argparse.Namespace) -> int:
    from streamer.speech import voice_prints

    name = voice_prints.checked_name(options.name)
    if bool(options.file) == bool(options.device):
        raise UserError("give a recording or --device, and not both")
    settings = load_settings(options)
    one_thread_per_computation()
    enrolled = voice_prints.load()
    speech = asyncio.run(_speech(options, settings))
    voice = _voice(speech, options.file or options.device)
    voice_prints.save(enrolled | {name: voice})
    print(NOTE, file=sys.stderr)
    print(f"{name}: enrolled, in {voice_prints.path()}; use it with --set speakers.enrolled=true")
    return OK


def _list(_: argparse.Namespace) -> int:
    from streamer.speech import voice_prints

    for name in voice_prints.load():
        print(name)
    return OK


def _forget(options: argparse.Namespace) -> int:
    from streamer.speech import voice_prints

    enrolled = voice_prints.load()
    if enrolled.pop(options.name, None) is None:
        raise UserError(f"{options.name[:64]}: not enrolled; `streamer voices list` says who is")
    voice_prints.save(enrolled)
    return OK


def _voice(speech: "Samples", source: str) -> Any:
    """Embed speech.

    Raises:
        UserError: It is too short, or sounds like more than one person.
    """
    import numpy as np

    from streamer.audio import SAMPLE_RATE
    from streamer_models.bundle import BundleError
    from streamer_models.speaker_encoder import load_speaker_encoder

    seconds = len(speech) / SAMPLE_RATE
    if seconds < LEAST:
        raise UserError(f"{source}: {seconds:.1f} s of speech; {LEAST:g} s or more are needed")
    try:
        encoder = load_speaker_encoder()
    except BundleError as error:
        raise UserError(str(error)) from None
    one, other = (encoder.embed(half) for half in np.array_split(speech, 2))
    if float(one @ other) < _ONE_VOICE:
        raise UserError(f"{source}: this sounds like more than one person, or like much noise")
    return encoder.embed(speech)


async def _speech(options: argparse.Namespace, settings: "Settings") -> "Samples":
    """Return the speech of a recording or of a microphone, pauses left out."""
    import numpy as np

    from streamer import api
    from streamer.audio import SAMPLE_RATE, Gap
    from streamer.clock import VirtualClock, WallClock
    from streamer.registry import SourceContext
    from streamer.speech import SpeechEnded
    from streamer.speech.registry import make_segmenter

    live = options.device is not None
    context = SourceContext(settings.audio, WallClock() if live else VirtualClock(), live=live)
    values = {"device": [options.device] if live else []}
    source = api.make_source(
        options.file or "", context, values, "microphone" if live else "recording"
    )
    segmenter = make_segmenter(settings.segmentation, 0)
    pieces: list[Samples] = []

    def keep(events: Sequence[Any]) -> None:
        pieces.extend(event.samples for event in events if isinstance(event, SpeechEnded))

    async with source:
        _one_channel(source)
        if live:
            print("speak now, for 20 seconds", file=sys.stderr)
        try:
            async for item in source:
                if isinstance(item, Gap):
                    keep([*segmenter.gap(item.start, item.end)])
                else:
                    keep([*segmenter.push(item)])
                if item.end >= (20.0 if live else 10 * MOST) * SAMPLE_RATE:
                    break
        except SourceError as error:
            raise UserError(str(error)) from error
    keep([*segmenter.flush()])
    joined = np.concatenate([np.zeros(0, np.float32), *pieces])
    return joined[: int(MOST * SAMPLE_RATE)]


def _one_channel(source: "AudioSource") -> None:
    channels = len(source.info.channels)
    if channels > 1:
        raise UserError(
            f"{source.info.name}: has {channels} channels; give one of this person alone"
        )

"""`streamer listen`: analyse a conversation while it is spoken."""

import argparse
import asyncio
import contextlib
import gc
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.commands import Subparsers, add_settings_options, load_settings
from streamer.commands.keys import keys, on_key
from streamer.commands.outputs import (
    add_output_options,
    exit_code,
    notify,
    sinks,
    stopped_by_signals,
)
from streamer.errors import UserError

if TYPE_CHECKING:
    from streamer.clock import Clock
    from streamer.runtime.engine import Engine
    from streamer.settings.tree import Settings
    from streamer.sources import AudioSource

MAX_DEVICES = 8


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "listen",
        parents=parents,
        help="analyse what microphones hear",
        description="Analyse a conversation while it is spoken. Each microphone is a speaker. In a terminal: "
        "q ends, p pauses, space marks a moment.",
    )
    parser.add_argument(
        "pipe",
        nargs="?",
        choices=["-"],
        metavar="-",
        help="listen to raw 16-bit PCM from standard input instead of a microphone",
    )
    parser.add_argument(
        "--device",
        action="append",
        default=[],
        metavar="NAME|INDEX",
        help="microphone, by part of its name (`streamer devices`); several times: several speakers",
    )
    parser.add_argument(
        "--wait", action="store_true", help="if the microphone is not there, wait for it"
    )
    parser.add_argument("--duration", type=_seconds, metavar="S", help="end after so many seconds")
    parser.add_argument(
        "--record", type=Path, metavar="FILE.flac", help="also write what is heard to a new file"
    )
    parser.add_argument(
        "--rate", type=int, default=16_000, metavar="HZ", help="sample rate of - (default 16000)"
    )
    parser.add_argument(
        "--channels-in", type=int, default=1, metavar="N", help="channels of - (default 1)"
    )
    add_output_options(parser)
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Listen until told to stop; give the exit code."""
    from streamer.commands.terminal import without_noise
    from streamer.runtime.engine import Engine

    settings = load_settings(options, audio__channels=options.channels)
    _check(options)
    with without_noise(debug=options.debug), Engine.load(settings, notify) as engine:
        # What was loaded is no garbage: looking through it would stop everything for a sixth of a second
        # now and then, and delay the end by more.
        gc.freeze()
        return asyncio.run(_listen(options, engine))


async def _listen(options: argparse.Namespace, engine: "Engine") -> int:
    from streamer.clock import WallClock
    from streamer.control import Control, LiveStatus
    from streamer.conversation import pipeline

    clock = WallClock()
    control, status = Control(duration=options.duration), LiveStatus()
    source = _source(options, engine.settings, clock)
    if options.record:
        from streamer.sources.recorder import Recorder

        source = Recorder(source, options.record, control)
        notify(f"recording to {options.record}")
    table = not options.quiet and options.jsonl != "-"
    chosen = sinks(
        engine.settings,
        jsonl=options.jsonl,
        mqtt=options.mqtt,
        table=table,
        control=control,
        status=status,
    )
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped_by_signals(control))
        if table and not options.pipe:
            stack.enter_context(keys(on_key(control)))
        outcome = await pipeline.run(
            source, engine, chosen, clock, session=options.session, control=control, status=status
        )
    return exit_code(outcome.reason)


def _source(options: argparse.Namespace, settings: "Settings", clock: "Clock") -> "AudioSource":
    from streamer.sources.microphone.source import MicrophoneSource
    from streamer.sources.pcm import PcmSource

    if options.pipe:
        return PcmSource(
            rate=options.rate,
            count=options.channels_in,
            channels=settings.audio.channels,
            live=True,
            session=f"live-{clock.now():%Y%m%d-%H%M%S}",
        )
    return MicrophoneSource(
        clock, options.device, channels=settings.audio.channels, wait=options.wait
    )


def _check(options: argparse.Namespace) -> None:
    if options.pipe and options.device:
        raise UserError("-: listens to standard input; name no --device")
    if len(options.device) > MAX_DEVICES:
        raise UserError(f"--device: at most {MAX_DEVICES} microphones")
    if len(set(options.device)) < len(options.device):
        raise UserError("--device: a microphone is named twice")
    if not 4_000 <= options.rate <= 384_000:
        raise UserError(f"--rate {options.rate}: expected 4000 to 384000 Hz")
    if not 1 <= options.channels_in <= 8:
        raise UserError(f"--channels-in {options.channels_in}: expected 1 to 8")


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: expected seconds, more than 0")
    return seconds

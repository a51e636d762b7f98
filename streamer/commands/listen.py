"""`streamer listen`: analyse a conversation while it is spoken."""

import argparse
import asyncio
import contextlib
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.commands import Subparsers, load_settings
from streamer.commands.keys import keys, on_key
from streamer.commands.outputs import (
    add_conversation_options,
    exit_code,
    has_standard_output,
    notify,
    reopen_all,
    stopped_by_signals,
)
from streamer.errors import UserError
from streamer.process import exempt_from_collection, one_thread_per_computation
from streamer.registry import SinkContext, SourceContext, source_name

if TYPE_CHECKING:
    from streamer.api import Engine


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "listen",
        parents=parents,
        help="analyse a conversation from microphones, live",
        description="Analyse a conversation while it is spoken. Each microphone is a speaker. In a terminal: "
        "q ends, p pauses, space marks a moment.",
    )
    parser.add_argument(
        "pipe",
        nargs="?",
        metavar="-|NAME://...",
        help="instead of a microphone: - reads raw PCM from standard input, NAME:// the source of that name",
    )
    parser.add_argument(
        "--duration", type=_seconds, metavar="S", help="end after this many seconds"
    )
    parser.add_argument(
        "--record",
        type=_flac,
        metavar="FILE.flac",
        help="also record the audio to a new file (FLAC)",
    )
    add_conversation_options(parser, "listen")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Listen until stopped and return the exit code."""
    from streamer.api import Engine
    from streamer.commands.terminal import without_noise

    settings = load_settings(options, audio__channels=options.channels)
    if options.pipe and source_name(options.pipe, "") == "":
        raise UserError(
            f"{options.pipe[:100]}: expected - or NAME://...; a microphone is chosen by --device"
        )
    if options.pipe and options.device:
        raise UserError(f"'{options.pipe}' and --device cannot be combined")
    one_thread_per_computation()
    with without_noise(debug=options.debug), Engine.load(settings, notify) as engine:
        exempt_from_collection()
        return asyncio.run(_listen(options, engine))


async def _listen(options: argparse.Namespace, engine: "Engine") -> int:
    from streamer import api
    from streamer.clock import WallClock
    from streamer.control import Control, LiveStatus

    clock = WallClock()
    control, status = Control(duration=options.duration), LiveStatus()
    values = vars(options)
    context = SourceContext(engine.settings.audio, clock, live=True)
    audio = api.make_source(options.pipe or "", context, values, default="microphone")
    if options.record:
        from streamer.sources.recorder import Recorder

        audio = Recorder(audio, options.record, control)
        notify(f"recording to {options.record}")
    table = not options.quiet and not has_standard_output(values)
    outputs = SinkContext(engine.settings, control, status, table=table)
    chosen = api.make_sinks(outputs, values, "listen")
    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped_by_signals(control, partial(reopen_all, chosen)))
        if table and not options.pipe:
            stack.enter_context(keys(on_key(control)))
        outcome = await engine.run(
            audio, chosen, clock, session=options.session, control=control, status=status
        )
    return exit_code(outcome)


def _flac(text: str) -> Path:
    """Return the type of a file that is recorded to: FLAC, so that no other name is misleading."""
    path = Path(text)
    if path.suffix.lower() != ".flac":
        name = path.with_suffix(".flac").name
        raise argparse.ArgumentTypeError(f"{text[:100]}: recordings are FLAC; name it {name}")
    return path


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError(f"{text[:100]}: expected seconds, more than 0")
    return seconds

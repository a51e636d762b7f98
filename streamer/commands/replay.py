"""`streamer replay`: analyse recorded calls."""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.commands import Subparsers, add_settings_options, load_settings
from streamer.errors import UserError

if TYPE_CHECKING:
    from streamer.clock import Clock
    from streamer.config import Settings
    from streamer.engine import Engine
    from streamer.sinks import Sink
    from streamer.sources import AudioSource

MIN_SPEED, MAX_SPEED = 0.25, 16.0


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "replay",
        parents=parents,
        help="analyse recorded calls",
        description="Analyse recorded calls, one conversation a file. Each channel is a speaker.",
    )
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="recording (wav, mp3, flac, ogg, m4a, ...); - reads raw 16-bit PCM from standard input",
    )
    parser.add_argument(
        "--speed",
        type=_speed,
        default=1.0,
        metavar="1|4|max",
        help=f"{MIN_SPEED} to {MAX_SPEED:g} times the speed of the recording (default 1), or max",
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


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what conversations are called and where their events go."""
    parser.add_argument(
        "--channels",
        type=lambda names: tuple(name.strip() for name in names.split(",")),
        metavar="NAME,NAME",
        help="who speaks on each channel",
    )
    parser.add_argument("--session", metavar="ID", help="the session's id (default: made up)")
    parser.add_argument(
        "--jsonl", metavar="FILE", help="append events as JSON lines; - for standard output"
    )
    parser.add_argument("--quiet", action="store_true", help="show no table")


def run(options: argparse.Namespace) -> int:
    """Replay all files, one after the other; give the gravest exit code."""
    from streamer.engine import Engine

    settings = load_settings(options, audio__channels=options.channels)
    _check(options)
    with Engine.load(settings, notify) as engine:
        codes = []
        for file in options.files:
            codes.append(asyncio.run(_replay(file, options, engine)))
            if codes[-1] == 130:
                break
    return max(codes)


def notify(line: str) -> None:
    """Tell the user something on stderr, once."""
    print(f"streamer: {line}", file=sys.stderr)


def sinks(options: argparse.Namespace, settings: "Settings") -> "list[Sink]":  # noqa: ARG001 - settings: for sinks that have a section
    """The sinks that the options ask for."""
    from streamer.sinks.console import ConsoleSink
    from streamer.sinks.jsonl import JsonlSink

    chosen: list[Sink] = []
    if options.jsonl:
        chosen.append(JsonlSink(None if options.jsonl == "-" else Path(options.jsonl)))
    if not options.quiet and options.jsonl != "-":
        chosen.append(ConsoleSink())
    return chosen


@contextlib.contextmanager
def stopped_by_signals(stop: "asyncio.Future[str]") -> Iterator[None]:
    """End the conversation properly at the first SIGINT or SIGTERM, at once at the second."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def ask(reason: str) -> None:
        if not stop.done():
            stop.set_result(reason)
        elif task:
            task.cancel()

    signals = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
    for number, reason in signals.items():
        loop.add_signal_handler(number, ask, reason)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


async def _replay(file: str, options: argparse.Namespace, engine: "Engine") -> int:
    from streamer import pipeline
    from streamer.clock import VirtualClock, WallClock

    clock: Clock = VirtualClock() if options.speed is None else WallClock()
    source = _source(file, options, engine.settings, clock)
    stop: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    with stopped_by_signals(stop):
        outcome = await pipeline.run(
            source,
            engine,
            sinks(options, engine.settings),
            clock,
            session=options.session,
            stop=stop,
        )
    return exit_code(outcome.reason)


def exit_code(reason: str) -> int:
    """The exit code for how a conversation ended."""
    return {"finished": 0, "failed": 1}.get(reason, 130)


def _source(
    file: str, options: argparse.Namespace, settings: "Settings", clock: "Clock"
) -> "AudioSource":
    from streamer.sources.pcm import PcmSource
    from streamer.sources.recording import RecordingSource

    if file == "-":
        return PcmSource(
            rate=options.rate, count=options.channels_in, channels=settings.audio.channels
        )
    return RecordingSource(
        Path(file),
        clock,
        speed=options.speed or 1.0,
        channels=settings.audio.channels,
        dual_mono=settings.audio.dual_mono,
    )


def _check(options: argparse.Namespace) -> None:
    if not 4_000 <= options.rate <= 384_000:
        raise UserError(f"--rate {options.rate}: expected 4000 to 384000 Hz")
    if not 1 <= options.channels_in <= 8:
        raise UserError(f"--channels-in {options.channels_in}: expected 1 to 8")
    if options.session and len(options.files) > 1:
        raise UserError("--session names one conversation; replay one file")
    for file in options.files:
        if file != "-" and not Path(file).exists():
            raise UserError(f"{file}: no such file")


def _speed(text: str) -> float | None:
    if text == "max":
        return None
    speed = float(text)
    if not MIN_SPEED <= speed <= MAX_SPEED:
        raise argparse.ArgumentTypeError(f"{text}: expected {MIN_SPEED} to {MAX_SPEED:g}, or max")
    return speed

"""`streamer replay`: analyse recorded calls."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections import deque
from functools import partial
from typing import TYPE_CHECKING

from streamer.commands import (
    FAILED,
    INTERRUPTED,
    OK,
    WRONG,
    Subparsers,
    load_settings,
)
from streamer.commands.durations import durations
from streamer.commands.outputs import (
    add_conversation_options,
    exit_code,
    has_standard_output,
    notify,
    stopped_by_signals,
)
from streamer.control import Control
from streamer.errors import UserError
from streamer.process import exempt_from_collection, one_thread_per_computation
from streamer.registry import SinkContext, SourceContext, source_name, whole_number

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator, Sequence
    from types import FrameType
    from typing import Any

    from streamer.api import Engine
    from streamer.archive.pool import Pool
    from streamer.clock import Clock
    from streamer.settings.tree import Settings
    from streamer.sinks.progress import Progress, ProgressSink

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
        help="recording (wav, mp3, flac, ogg, m4a, ...); - reads a recording or raw PCM from standard input",
    )
    parser.add_argument(
        "--speed",
        type=speed,
        default=1.0,
        metavar="1|4|max",
        help=f"{MIN_SPEED} to {MAX_SPEED:g} times the speed of the recording (default 1), or max",
    )
    parser.add_argument(
        "--jobs",
        type=whole_number(1, 256, "recordings"),
        default=1,
        metavar="N",
        help="replay N files at the same time (default 1; with --speed max on as many cores)",
    )
    add_conversation_options(parser, "replay")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Replay all files and return the highest exit code."""
    settings = load_settings(options, audio__channels=options.channels)
    _check(options)
    # A mistake in an output is reported before the models are loaded.
    from streamer import api

    api.make_sinks(SinkContext(settings, table=False), vars(options) | {"jsonl": None})
    files = [file for file in options.files if _is_there(file)]
    for file in options.files:
        if file not in files:
            notify(f"{file[:200]}: no such file")
    missing = WRONG if len(files) < len(options.files) else OK
    if not files:
        return missing
    processes = _processes(files, options, settings)
    if processes > 1:
        replay = partial(_replay_alone, options)
        return max(missing, *replay_in_processes(files, processes, settings, replay))
    one_thread_per_computation()
    with api.Engine.load(settings, notify) as engine:
        exempt_from_collection()
        return max(missing, asyncio.run(_replay_all(files, options, engine)))


def _is_there(file: str) -> bool:
    return source_name(file, "recording") != "recording" or os.path.exists(file)  # noqa: PTH110 - a name may be too long


def _processes(files: "Sequence[str]", options: argparse.Namespace, settings: "Settings") -> int:
    """Count the processes to replay in: several where cores are free and no output is shared."""
    from streamer.sinks.jsonl import is_folder

    shares = options.mqtt or settings.mqtt.url or (options.jsonl and not is_folder(options.jsonl))
    paced = options.speed is not None or "-" in files
    if shares or paced or sys.platform != "linux":
        return 1
    cores = settings.usable_cores
    jobs: int = options.jobs
    return min(jobs, cores, len(files))


def replay_in_processes(
    files: "Sequence[str]",
    count: int,
    settings: "Settings",
    replay: "Callable[[Engine, str, Callable[[float], None]], Coroutine[Any, Any, int]]",
) -> list[int]:
    """Replay recordings in several processes, behind one progress bar.

    A signal ends the running conversations properly; no others are started.

    Args:
        files: what to replay, in this order.
        count: how many processes.
        settings: all settings.
        replay: replays one of them in a process, reports what is wrong with it and returns its exit code.

    Returns:
        The exit codes.

    Raises:
        UserError: if the models cannot be loaded.
    """
    from streamer.archive.engines import Finished, Reached
    from streamer.archive.pool import Pool
    from streamer.sinks.progress import Progress

    pool: Pool[str, int] = Pool(
        settings, count, lambda *arguments: asyncio.run(replay(*arguments)), notify
    )
    codes: list[int] = []
    with _passed_on(pool) as signals, Progress(durations(files)) as progress:
        for news in pool.run(files):
            if isinstance(news, Reached):
                progress.reach(news.job, news.seconds)
                continue
            progress.finish(news.job)
            if isinstance(news, Finished):
                codes.append(news.result)
                continue
            codes.append(FAILED)
            if not signals:
                notify(f"{news.job}: {news.reason}")
    return [*codes, INTERRUPTED] if signals else codes


@contextlib.contextmanager
def _passed_on(pool: "Pool[str, int]") -> "Iterator[Sequence[int]]":
    """Let SIGINT and SIGTERM stop a pool; give those that came."""
    signals: list[int] = []

    def pass_on(number: int, _: "FrameType | None") -> None:
        signals.append(number)
        pool.stop(number)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


async def _replay_alone(
    options: argparse.Namespace, engine: "Engine", file: str, reached: "Callable[[float], None]"
) -> int:
    """Replay one recording of several in a process of its own."""
    from streamer.sinks.progress import ProgressSink

    control = Control()
    with stopped_by_signals(control):
        return await _replay(file, options, engine, control, ProgressSink(reached))


async def _replay_all(files: "Sequence[str]", options: argparse.Namespace, engine: "Engine") -> int:
    """Replay the recordings, some at the same time; a failure of one does not affect the others."""
    control = Control()
    waiting = deque(files)
    codes: list[int] = []

    async def work(progress: "Progress | None") -> None:
        while waiting and control.stopped is None:
            file = waiting.popleft()
            sink = progress.sink(file) if progress else None
            codes.append(await _replay(file, options, engine, control, sink))
            if progress:
                progress.finish(file)

    with contextlib.ExitStack() as stack:
        stack.enter_context(stopped_by_signals(control))
        progress = None
        if options.jobs > 1:
            from streamer.sinks.progress import Progress

            progress = stack.enter_context(Progress(durations(files)))
        async with asyncio.TaskGroup() as group:
            for _ in range(min(options.jobs, len(files))):
                group.create_task(work(progress))
    return max([*codes, INTERRUPTED if waiting else OK])


async def _replay(
    file: str,
    options: argparse.Namespace,
    engine: "Engine",
    control: Control,
    progress: "ProgressSink | None",
) -> int:
    """Replay one recording; return its exit code and report what is wrong with it."""
    from streamer import api
    from streamer.clock import VirtualClock, WallClock

    clock: Clock = VirtualClock() if options.speed is None else WallClock()
    values = vars(options)
    table = not options.quiet and progress is None and not has_standard_output(values)
    chosen = api.make_sinks(SinkContext(engine.settings, table=table), values, "replay")
    if progress:
        chosen.append(progress)
    audio = SourceContext(engine.settings.audio, clock, speed=options.speed or 1.0)
    own = Control()
    try:
        with control.on_stop(lambda: own.stop(control.stopped or "")):
            source = api.make_source(file, audio, values)
            outcome = await engine.run(source, chosen, clock, session=options.session, control=own)
    except UserError as error:
        notify(str(error))
        return WRONG
    return exit_code(outcome)


def _check(options: argparse.Namespace) -> None:
    from streamer.sinks.report.folder import is_folder

    if options.session and len(options.files) > 1:
        raise UserError("--session names one conversation; replay one file")
    if options.report and len(options.files) > 1 and not is_folder(options.report):
        raise UserError("--report FILE.html holds one conversation; give it a folder: FOLDER/")
    if options.files.count("-") > 1:
        raise UserError("standard input ('-') can be given only once")


def speed(text: str) -> float | None:
    """Read the argument of --speed; None for max."""
    if text == "max":
        return None
    try:
        times = float(text)
    except ValueError:
        times = 0.0
    if not MIN_SPEED <= times <= MAX_SPEED:
        raise argparse.ArgumentTypeError(
            f"{text[:100]}: expected {MIN_SPEED} to {MAX_SPEED:g}, or max"
        )
    return times

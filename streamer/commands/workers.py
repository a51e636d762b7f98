"""An archive on several cores, each with a process that replays one recording after the other.

Threads of one process would wait for each other, as only one at a time can run Python. The processes are forks, made
when everything is imported; each loads the models. If one dies, the recording that it was replaying is lost.
"""

import asyncio
import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Coroutine, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Any

from streamer.commands import FAILED, INTERRUPTED
from streamer.commands.durations import durations
from streamer.commands.outputs import notify
from streamer.errors import UserError
from streamer.process import exempt_from_collection, one_thread_per_computation

if TYPE_CHECKING:
    from types import FrameType

    from streamer.api import Engine
    from streamer.settings.tree import Settings
    from streamer.sinks.progress import Progress

Reached = Callable[[float], None]
"""Takes the seconds of a recording analysed so far."""

Replay = Callable[["Engine", str, Reached], Coroutine[Any, Any, int]]
"""Replays a recording; returns its exit code and reports what is wrong with it."""

_SHARED = (
    "av",
    "streamer_models.streaming",
    "streamer_models.bundle",
    "soxr",
    "streamer.api",
    "streamer.conversation.pipeline",
    "streamer.speech.detectors.gated",
    "streamer.sources.recording.source",
    "streamer.transcription.registry",
)
"""Slow imports that start no threads: a fork copies none."""


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    file: str | None = None
    """The recording that it is replaying."""
    is_alive: bool = True


def replay_in_processes(
    files: Sequence[str], count: int, settings: "Settings", replay: Replay
) -> list[int]:
    """Replay recordings in several processes, behind one progress bar.

    A signal ends the running conversations properly; no others are started.

    Args:
        files: what to replay, in this order.
        count: how many processes.
        settings: all settings.
        replay: what each process does with a recording.

    Returns:
        The exit codes.

    Raises:
        UserError: if the models cannot be loaded.
    """
    from streamer.sinks.progress import Progress

    for module in _SHARED:
        import_module(module)
    waiting = deque(files)
    workers = _fork(count, settings, replay)
    try:
        with _signals_passed_on(workers, waiting) as signals:
            with Progress(durations(files)) as progress:
                codes = _share_out(waiting, workers, progress, signals)
            for file in waiting:
                notify(f"{file}: not analysed, as no process was left to do it")
                codes.append(FAILED)
            return [*codes, INTERRUPTED] if signals else codes
    finally:
        for worker in workers:
            worker.connection.close()  # it ends when it comes for more
        for worker in workers:
            worker.process.join()


def _share_out(
    waiting: deque[str],
    workers: Sequence[_Worker],
    progress: "Progress",
    signals: Sequence[int],
) -> list[int]:
    """Assign recordings to idle workers until all are done."""
    codes: list[int] = []
    while True:
        for worker in workers:
            if worker.file is None and worker.is_alive and waiting:
                _hand(worker, waiting)
        busy = [worker for worker in workers if worker.file is not None]
        if not busy:
            return codes
        ready = wait([worker.connection for worker in busy])
        heard = [_hear(w, progress, signals) for w in busy if w.connection in ready]
        codes += [code for code in heard if code is not None]


def _hand(worker: _Worker, waiting: deque[str]) -> None:
    """Give a process the next recording."""
    file = waiting[0]
    try:
        worker.connection.send(file)
    except ConnectionError:
        worker.is_alive = False
        return
    waiting.popleft()
    worker.file = file


def _hear(worker: _Worker, progress: "Progress", signals: Sequence[int]) -> int | None:
    """Hear what a busy process has to say: the exit code of its recording, None as long as that goes on."""
    assert worker.file is not None  # noqa: S101 - it is busy
    try:
        message: float | int | str = worker.connection.recv()
    except (EOFError, ConnectionError):
        worker.is_alive = False
        message = FAILED
        if not signals:
            notify(f"{worker.file}: the process that replayed it died")
    if isinstance(message, str):
        raise UserError(message)
    if isinstance(message, float):
        progress.reach(worker.file, message)
        return None
    progress.finish(worker.file)
    worker.file = None
    return message


def _fork(count: int, settings: "Settings", replay: Replay) -> list[_Worker]:
    """Start processes that share the cores."""
    context = multiprocessing.get_context("fork")
    settings = settings.model_copy(update={"cores": max(1, settings.usable_cores // count)})
    workers: list[_Worker] = []
    for number in range(count):
        ours, theirs = context.Pipe()
        inherited = [*(worker.connection for worker in workers), ours]
        process = context.Process(
            target=_work,
            args=(theirs, inherited, settings, replay),
            kwargs={"speaks": number == 0},
            daemon=True,
        )
        process.start()
        theirs.close()
        workers.append(_Worker(process, ours))
    return workers


@contextlib.contextmanager
def _signals_passed_on(workers: Sequence[_Worker], waiting: deque[str]) -> Iterator[Sequence[int]]:
    """SIGINT and SIGTERM go to all processes, and nothing new is begun; gives those that came."""
    signals: list[int] = []

    def pass_on(number: int, _: "FrameType | None") -> None:
        signals.append(number)
        waiting.clear()
        for worker in workers:
            if worker.process.is_alive() and worker.process.pid:
                os.kill(worker.process.pid, number)

    before = {n: signal.signal(n, pass_on) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _work(
    connection: Connection,
    inherited: Sequence[Connection],
    settings: "Settings",
    replay: Replay,
    *,
    speaks: bool,
) -> None:
    """Replay the recordings that arrive over a connection until it is closed."""
    from streamer.api import Engine

    os.setpgrp()  # the terminal's Ctrl-C comes from who has forked it, and only once
    for other in inherited:
        other.close()
    one_thread_per_computation()
    with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        try:
            engine = Engine.load(settings, notify if speaks else lambda _: None)
        except UserError as error:
            connection.recv()
            connection.send(str(error))
            return
        exempt_from_collection()
        with engine:
            while True:
                file = connection.recv()
                connection.send(asyncio.run(replay(engine, file, connection.send)))

"""The local engine: one process for each core, each with models of its own.

Threads of one process would wait for each other, as only one at a time runs Python. The processes are forks, made once
everything is imported. One that dies costs the call that it was busy with; another takes its place.
"""

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING

from streamer.archive.analysis import Analysed, Target, analyse
from streamer.archive.engines import Crashed, Finished, Reached
from streamer.archive.plan import Job
from streamer.errors import UserError
from streamer.process import exempt_from_collection, one_thread_per_computation

if TYPE_CHECKING:
    from streamer.settings.tree import Settings

_IMPORTED_BEFORE_FORK = (
    *("av", "soxr", "streamer_models.bundle", "streamer_models.streaming"),
    *("streamer.conversation.pipeline", "streamer.sources.recording.source"),
    *("streamer.speech.detectors.gated", "streamer.transcription.registry"),
)
"""Modules that take long to import and start no threads: a fork would not inherit those."""


@dataclass(slots=True)
class _Worker:
    process: BaseProcess
    connection: Connection
    job: Job | None = None


class LocalEngine:
    """Analyses in processes of this machine.

    Args:
        workers: how many processes; 0: one for each usable core.
    """

    def __init__(self, workers: int) -> None:
        self._count = workers
        self._waiting: deque[Job] = deque()
        self._workers: list[_Worker] = []

    def stop(self) -> None:
        """See `Engine`."""
        self._waiting.clear()
        for worker in self._workers:
            worker.process.terminate()

    def run(
        self, jobs: Sequence[Job], settings: "Settings", target: Target
    ) -> Iterator[Finished | Crashed | Reached]:
        """See `Engine`.

        Raises:
            UserError: if the models cannot be loaded.
        """
        for module in _IMPORTED_BEFORE_FORK:
            import_module(module)
        count = min(self._count or settings.usable_cores, len(jobs))
        own = settings.model_copy(update={"cores": max(1, settings.usable_cores // max(1, count))})
        self._waiting = deque(jobs)
        try:
            self._workers = [_fork(own, target, self._workers) for _ in range(count)]
            while self._waiting or any(worker.job for worker in self._workers):
                self._share_out(own, target)
                busy = [worker for worker in self._workers if worker.job]
                ready = wait([worker.connection for worker in busy])
                for worker in busy:
                    if worker.connection in ready and (news := _receive(worker)):
                        yield news
        finally:
            for worker in self._workers:
                worker.connection.close()
                if worker.job:
                    worker.process.terminate()
            for worker in self._workers:
                worker.process.join()
            self._workers = []

    def _share_out(self, settings: "Settings", target: Target) -> None:
        """Give each idle process the next job; replace those that have died."""
        for place, worker in enumerate(self._workers):
            if worker.job or not self._waiting:
                continue
            if not worker.process.is_alive():
                worker.connection.close()
                others = [w for w in self._workers if w is not worker]
                worker = self._workers[place] = _fork(settings, target, others)  # noqa: PLW2901
            job = self._waiting.popleft()
            worker.job = job
            with contextlib.suppress(ConnectionError):  # it has just died: `_receive` will see it
                worker.connection.send(job)


def _receive(worker: _Worker) -> Finished | Crashed | Reached | None:
    job = worker.job
    assert job is not None  # noqa: S101 - it is busy
    try:
        message: float | Analysed | str = worker.connection.recv()
    except (EOFError, ConnectionError):
        worker.process.join()
        worker.job = None
        code = worker.process.exitcode or 0
        how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
        return Crashed(job, f"the worker died ({how})")
    if isinstance(message, str):
        raise UserError(message)
    if isinstance(message, float):
        return Reached(job, message)
    worker.job = None
    return Finished(job, message)


def _fork(settings: "Settings", target: Target, others: Sequence[_Worker]) -> _Worker:
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()
    inherited = [*(worker.connection for worker in others), ours]
    process = context.Process(target=_work, args=(theirs, inherited, settings, target), daemon=True)
    process.start()
    theirs.close()
    return _Worker(process, ours)


def _work(
    connection: Connection, inherited: Sequence[Connection], settings: "Settings", target: Target
) -> None:
    """Analyse job after job until there are no more."""
    from streamer.api import Engine
    from streamer.control import Control

    os.setpgrp()  # the terminal's Ctrl-C reaches the driver, which ends its workers
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    one_thread_per_computation()
    for other in inherited:
        other.close()
    with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        try:
            engine = Engine.load(settings, lambda _: None)
        except UserError as error:
            connection.recv()
            connection.send(str(error))
            return
        exempt_from_collection()
        with engine:
            while True:
                job = connection.recv()
                connection.send(analyse(job, engine, target, Control(), connection.send))

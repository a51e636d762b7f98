"""Processes of this machine that do job after job, each with models of its own.

Threads of one process would wait for each other, as only one at a time runs Python. The processes are forks, made once
everything is imported. One that dies costs the job that it was busy with; another takes its place.
"""

import contextlib
import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib import import_module
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import TYPE_CHECKING, Generic, TypeVar

from streamer.archive.engines import Crashed, Finished, Reached
from streamer.errors import UserError
from streamer.process import (
    IMPORTED_BEFORE_FORK,
    end_with_parent,
    exempt_from_collection,
    one_thread_per_computation,
)

if TYPE_CHECKING:
    from streamer.api import Engine
    from streamer.settings.tree import Settings

_SIGNALS = {signal.SIGINT, signal.SIGTERM}

J = TypeVar("J")
R = TypeVar("R")

Work = Callable[["Engine", J, Callable[[float], None]], R]
"""Does a job with the models; the last argument takes the seconds of audio done so far."""


@dataclass(frozen=True, slots=True)
class _Refusal:
    """The models cannot be loaded."""

    reason: str


@dataclass(frozen=True, slots=True)
class _Done(Generic[R]):
    result: R


@dataclass(slots=True)
class _Worker(Generic[J]):
    process: BaseProcess
    connection: Connection
    job: J | None = None


class Pool(Generic[J, R]):
    """A pool of processes.

    Args:
        settings: all settings; each process gets its share of the cores.
        count: how many processes.
        work: what they do.
        notify: takes a line for the user where a model had to be replaced; called by one process only.
    """

    def __init__(
        self,
        settings: "Settings",
        count: int,
        work: Work[J, R],
        notify: Callable[[str], None] = lambda _: None,
    ) -> None:
        share = max(1, settings.usable_cores // max(1, count))
        self._settings = settings.model_copy(update={"cores": share})
        self._count = count
        self._work = work
        self._notify = notify
        self._waiting: deque[J] = deque()
        self._workers: list[_Worker[J]] = []

    def run(self, jobs: Sequence[J]) -> Iterator[Finished[J, R] | Crashed[J] | Reached[J]]:
        """Do all jobs, begun in their order; closing the iterator ends the processes.

        Raises:
            UserError: if the models cannot be loaded.
        """
        for module in IMPORTED_BEFORE_FORK:
            import_module(module)
        self._waiting = deque(jobs)
        try:
            for number in range(self._count):
                notify = (lambda _: None) if number else self._notify
                self._workers.append(self._fork(notify))
            while self._waiting or any(worker.job is not None for worker in self._workers):
                self._share_out()
                busy = [worker for worker in self._workers if worker.job is not None]
                ready = wait([worker.connection for worker in busy])
                for worker in busy:
                    if worker.connection in ready:
                        yield self._receive(worker)
        finally:
            self._close()

    def stop(self, number: int) -> None:
        """Begin no further job, and pass a signal on to the processes."""
        self._waiting.clear()
        for worker in self._workers:
            if worker.process.is_alive() and worker.process.pid:
                os.kill(worker.process.pid, number)

    def _share_out(self) -> None:
        """Give each idle process the next job; replace those that have died."""
        for place, worker in enumerate(self._workers):
            if worker.job is not None or not self._waiting:
                continue
            if not worker.process.is_alive():
                worker.connection.close()
                self._workers[place] = worker = self._fork()  # noqa: PLW2901
            worker.job = self._waiting.popleft()
            with contextlib.suppress(ConnectionError):  # it has just died: `_receive` will see it
                worker.connection.send(worker.job)

    @staticmethod
    def _receive(worker: _Worker[J]) -> Finished[J, R] | Crashed[J] | Reached[J]:
        job = worker.job
        assert job is not None  # noqa: S101 - it is busy
        try:
            message: float | _Done[R] | _Refusal = worker.connection.recv()
        except (EOFError, ConnectionError):
            worker.process.join()
            worker.job = None
            code = worker.process.exitcode or 0
            how = f"killed by signal {-code}" if code < 0 else f"exit code {code}"
            return Crashed(job, f"the worker died ({how})")
        if isinstance(message, _Refusal):
            raise UserError(message.reason)
        if isinstance(message, _Done):
            worker.job = None
            return Finished(job, message.result)
        return Reached(job, message)

    def _fork(self, notify: Callable[[str], None] = lambda _: None) -> _Worker[J]:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        inherited = [worker.connection for worker in self._workers if not worker.connection.closed]
        process = context.Process(
            target=_run_worker,
            args=(theirs, [*inherited, ours], self._settings, self._work, notify),
            daemon=True,
        )
        with _signals_held_back():
            process.start()
        theirs.close()
        return _Worker(process, ours)

    def _close(self) -> None:
        """End the processes: idle ones at once, busy ones by a signal."""
        for worker in self._workers:
            worker.connection.close()
            if worker.job is not None:
                worker.process.terminate()
        for worker in self._workers:
            worker.process.join()
        self._workers = []


@contextlib.contextmanager
def _signals_held_back() -> Iterator[None]:
    """Block signals: a fork would call the handlers of its parent until it has its own."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _run_worker(
    connection: Connection,
    inherited: Sequence[Connection],
    settings: "Settings",
    work: Work[J, R],
    notify: Callable[[str], None],
) -> None:
    """Do the jobs that arrive over a connection until it is closed."""
    from streamer.api import Engine

    os.setpgrp()  # the terminal's Ctrl-C reaches the parent, which passes it on once
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    with contextlib.suppress(EOFError, ConnectionError, KeyboardInterrupt):
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)
        end_with_parent()
        for other in inherited:
            other.close()
        one_thread_per_computation()
        try:
            engine = Engine.load(settings, notify)
        except UserError as error:
            connection.recv()
            connection.send(_Refusal(str(error)))
            return
        exempt_from_collection()
        with engine:
            while True:
                job = connection.recv()
                connection.send(_Done(work(engine, job, connection.send)))

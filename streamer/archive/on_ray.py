"""The Ray engine: actors that hold the models, on one machine or a cluster.

Audio never passes through the object store: each actor reads its sources itself and writes the results into the
target folder, which all nodes must see. `RAY_ADDRESS` names a cluster; without it Ray starts on this machine.
"""

import logging
import os
import time
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from streamer import cores
from streamer.archive.analysis import Analysed, Target, analyse
from streamer.archive.engines import Crashed, Finished, News
from streamer.archive.plan import Job
from streamer.errors import UserError
from streamer.process import one_thread_per_computation

if TYPE_CHECKING:
    from streamer.settings.tree import Settings

_OBJECT_STORE = 80 * 1024 * 1024
"""Bytes, of a Ray that is started here: only names and results pass through it."""
_GPU_SHARE = 0.25
_MAX_FAILED_STARTS = 5
"""In a row; then something is wrong with more than one node."""
_MAX_WAIT = 300.0
"""Seconds to wait for a node, when none has room for an actor."""


class Analyser:
    """The actor: loads the models once, then analyses call after call."""

    def __init__(self, settings: "Settings", target: Target) -> None:
        self._settings = settings
        self._target = target

    def load(self) -> None:
        """Load the models.

        Raises:
            UserError: if that is not possible.
        """
        from streamer.api import Engine

        one_thread_per_computation()
        self._engine = Engine.load(self._settings, lambda _: None)

    def analyse(self, job: Job) -> Analysed:
        """Analyse a call."""
        return analyse(job, self._engine, self._target)


class RayEngine:
    """Analyses in actors of Ray.

    Args:
        workers: how many actors; 0: one for each core of the cluster.
    """

    def __init__(self, workers: int) -> None:
        self._count = workers
        self._actors: _Actors | None = None

    def stop(self) -> None:
        """See `Engine`."""
        if self._actors:
            self._actors.end()

    def run(self, jobs: Sequence[Job], settings: "Settings", target: Target) -> Iterator[News]:
        """See `Engine`.

        Raises:
            UserError: if Ray is not installed or cannot be reached, the models cannot be loaded, or no node is left.
        """
        ray = _started()
        available = max(1, int(ray.cluster_resources().get("CPU", 1)))
        count = min(self._count or available, available, len(jobs))
        self._actors = _Actors(ray, settings, target, jobs)
        try:
            yield from self._actors.run(count)
        finally:
            self._actors.end()


class _Actors:
    """The actors of one run. A job goes only to an actor that has loaded its models: others may never start."""

    def __init__(self, ray: Any, settings: "Settings", target: Target, jobs: Sequence[Job]) -> None:
        self._ray = ray
        gpus = _GPU_SHARE if settings.emotion.device == "cuda" else 0
        self._kind = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(Analyser)
        self._arguments = (settings.model_copy(update={"cores": 1}), target)
        self._starting: dict[Any, Any] = {}
        self._idle: list[Any] = []
        self._failed_starts = 0
        self._waiting = deque(jobs)
        self._busy: dict[Any, tuple[Any, Job]] = {}

    def run(self, count: int) -> Iterator[News]:
        """Do all jobs with so many actors."""
        for _ in range(count):
            self._start()
        alone = time.monotonic()
        while self._waiting or self._busy:
            while self._waiting and self._idle:
                actor, job = self._idle.pop(), self._waiting.popleft()
                self._busy[actor.analyse.remote(job)] = (actor, job)
            done = self._done()
            if self._busy or done:
                alone = time.monotonic()
            elif time.monotonic() - alone > _MAX_WAIT:
                raise UserError("--engine ray: no node of the cluster has room for a worker")
            for reference in done:
                if reference in self._starting:
                    self._take_started(reference)
                elif reference in self._busy:
                    yield self._take_result(reference)

    def _done(self) -> list[Any]:
        """Wait until something is done, a second at most; give all that is."""
        expected = [*self._busy, *self._starting]
        if not self._ray.wait(expected, num_returns=1, timeout=1.0)[0]:
            return []
        done: list[Any] = self._ray.wait(expected, num_returns=len(expected), timeout=0)[0]
        return done

    def end(self) -> None:
        """End all actors, and begin nothing more."""
        busy = [actor for actor, _ in self._busy.values()]
        actors = [*self._idle, *self._starting.values(), *busy]
        for each in (self._waiting, self._idle, self._starting, self._busy):
            each.clear()
        for actor in actors:
            self._ray.kill(actor)

    def _start(self) -> None:
        actor = self._kind.remote(*self._arguments)
        self._starting[actor.load.remote()] = actor

    def _take_started(self, reference: Any) -> None:
        actor = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            raise UserError(_line(error.cause)) from None
        except self._ray.exceptions.RayError as error:
            self._failed_starts += 1
            if self._failed_starts >= _MAX_FAILED_STARTS:
                raise UserError(f"--engine ray: workers do not start: {_line(error)}") from None
            self._start()
        else:
            self._failed_starts = 0
            self._idle.append(actor)

    def _take_result(self, reference: Any) -> Finished[Job, Analysed] | Crashed[Job]:
        actor, job = self._busy.pop(reference)
        try:
            result = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            self._idle.append(actor)
            return Crashed(job, f"{type(error.cause).__name__}: {_line(error.cause)}")
        except self._ray.exceptions.RayError as error:
            self._start()  # on another node if its own is gone
            return Crashed(job, f"the worker died ({_line(error)})")
        self._idle.append(actor)
        return Finished(job, result)


def _started() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError("--engine ray needs Ray: pip install 'streamer-emotion[ray]'") from None
    if ray.is_initialized():
        return ray
    address = os.environ.get("RAY_ADDRESS")
    own: dict[str, Any] = {"num_cpus": cores.available(), "object_store_memory": _OBJECT_STORE}
    try:
        ray.init(
            address=address or "local",
            log_to_driver=False,
            logging_level=logging.ERROR,
            include_dashboard=False,
            configure_logging=False,
            **({} if address else own),
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise UserError(f"--engine ray: {_line(error)}") from None
    return ray


def _line(error: BaseException) -> str:
    """Return the message of an error in one line."""
    return " ".join(str(error).split())[:300] or type(error).__name__

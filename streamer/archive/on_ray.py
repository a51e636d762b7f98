"""The Ray engine: actors that hold the models, on one machine or a cluster.

Audio never passes through the object store: each actor reads its sources itself and writes the results into the
target folder, which all nodes must see. `RAY_ADDRESS` names a cluster; without it Ray starts on this machine.
"""

import logging
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from streamer.archive.analysis import Analysed, Target, analyse
from streamer.archive.engines import Crashed, Finished, News
from streamer.archive.plan import Job
from streamer.errors import UserError
from streamer.process import one_thread_per_computation

if TYPE_CHECKING:
    from streamer.settings.tree import Settings


class Analyser:
    """The actor: loads the models once, then analyses call after call."""

    def __init__(self, settings: "Settings", target: Target) -> None:
        from streamer.api import Engine

        one_thread_per_computation()
        self._engine = Engine.load(settings, lambda _: None)
        self._target = target

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
        self._waiting: deque[Job] = deque()
        self._stopped = False

    def stop(self) -> None:
        """See `Engine`."""
        self._waiting.clear()
        self._stopped = True

    def run(self, jobs: Sequence[Job], settings: "Settings", target: Target) -> Iterator[News]:
        """See `Engine`.

        Raises:
            UserError: if Ray is not installed or cannot be reached, or the models cannot be loaded.
        """
        ray = _started()
        self._waiting = deque(jobs)
        cores = int(ray.cluster_resources().get("CPU", 1))
        count = max(1, min(self._count or cores, len(jobs)))
        own = settings.model_copy(update={"cores": 1})
        gpus = 0.25 if settings.emotion.device == "cuda" else 0
        actor = ray.remote(num_cpus=1, num_gpus=gpus, max_restarts=0)(Analyser)
        idle = [actor.remote(own, target) for _ in range(count)]
        busy: dict[Any, tuple[Any, Job]] = {}
        try:
            while not self._stopped and (self._waiting or busy):
                while self._waiting and idle:
                    worker, job = idle.pop(), self._waiting.popleft()
                    busy[worker.analyse.remote(job)] = (worker, job)
                done, _ = ray.wait([*busy], num_returns=1, timeout=1.0)
                for reference in done:
                    worker, job = busy.pop(reference)
                    news = _result(ray, reference, job)
                    # A dead actor is replaced, on another node if its own is gone.
                    crashed = isinstance(news, Crashed)
                    idle.append(actor.remote(own, target) if crashed else worker)
                    yield news
        finally:
            for worker in [*idle, *(worker for worker, _ in busy.values())]:
                ray.kill(worker)


def _started() -> Any:
    try:
        import ray
    except ImportError:
        raise UserError("--engine ray needs Ray: pip install 'streamer-emotion[ray]'") from None
    if not ray.is_initialized():
        try:
            ray.init(
                log_to_driver=False,
                logging_level=logging.ERROR,
                include_dashboard=False,
                configure_logging=False,
            )
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise UserError(f"--engine ray: {' '.join(str(error).split())[:300]}") from None
    return ray


def _result(ray: Any, reference: Any, job: Job) -> Finished[Job, Analysed] | Crashed[Job]:
    try:
        return Finished(job, ray.get(reference))
    except ray.exceptions.RayTaskError as error:
        cause = error.cause
        if isinstance(cause, UserError):
            raise UserError(str(cause)) from None
        return Crashed(job, f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}")
    except ray.exceptions.RayError as error:
        lines = str(error).strip().splitlines()
        return Crashed(job, f"the worker died ({lines[0][:200] if lines else 'unknown'})")

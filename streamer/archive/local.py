"""The local engine: one process for each core."""

import signal
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import TYPE_CHECKING

from streamer.archive.analysis import Analysed, Target, analyse
from streamer.archive.engines import News
from streamer.archive.plan import Job
from streamer.archive.pool import Pool

if TYPE_CHECKING:
    from streamer.api import Engine as Models
    from streamer.settings.tree import Settings


class LocalEngine:
    """Analyses in processes of this machine.

    Args:
        workers: how many processes; 0: one for each usable core.
    """

    def __init__(self, workers: int) -> None:
        self._count = workers
        self._pool: Pool[Job, Analysed] | None = None

    def stop(self) -> None:
        """See `Engine`."""
        if self._pool:
            self._pool.stop(signal.SIGTERM)

    def run(self, jobs: Sequence[Job], settings: "Settings", target: Target) -> Iterator[News]:
        """See `Engine`.

        Raises:
            UserError: if the models cannot be loaded.
        """
        count = min(self._count or settings.usable_cores, len(jobs))
        self._pool = Pool(settings, count, partial(_analyse, target))
        yield from self._pool.run(jobs)


def _analyse(
    target: Target, models: "Models", job: Job, progress: Callable[[float], None]
) -> Analysed:
    return analyse(job, models, target, progress)

"""Engines: where the calls of an archive are analysed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from streamer.archive.analysis import Analysed, Target
from streamer.archive.plan import Job
from streamer.registry import Registry

if TYPE_CHECKING:
    from streamer.settings.tree import Settings


@dataclass(frozen=True, slots=True)
class Finished:
    """A call was analysed."""

    job: Job
    analysed: Analysed


@dataclass(frozen=True, slots=True)
class Crashed:
    """The worker that analysed a call has died."""

    job: Job
    reason: str


@dataclass(frozen=True, slots=True)
class Reached:
    """A call goes on; so many seconds of it are analysed."""

    job: Job
    seconds: float


class Engine(Protocol):
    """Analyses jobs in parallel. Iterating drives it; closing the iterator ends its workers."""

    def run(
        self, jobs: Sequence[Job], settings: "Settings", target: Target
    ) -> Iterator[Finished | Crashed | Reached]:
        """Analyse jobs, begun in their order; every job ends with one `Finished` or `Crashed`.

        A crashed job is not tried again here.
        """
        ...

    def stop(self) -> None:
        """Begin no further job, and abandon those under way."""
        ...


ENGINES = Registry(
    "archive engine",
    "streamer.archive_engines",
    {"local": "streamer.archive.local:LocalEngine", "ray": "streamer.archive.on_ray:RayEngine"},
)
"""`make(workers)` gives an `Engine`."""

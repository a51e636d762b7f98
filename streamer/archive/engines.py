"""Engines: where the calls of an archive are analysed."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from streamer.archive.analysis import Analysed, Target
from streamer.archive.plan import Job
from streamer.registry import Registry

if TYPE_CHECKING:
    from streamer.settings.tree import Settings

J = TypeVar("J")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Finished(Generic[J, R]):
    """A job is done."""

    job: J
    result: R


@dataclass(frozen=True, slots=True)
class Crashed(Generic[J]):
    """The worker that did a job has died."""

    job: J
    reason: str


@dataclass(frozen=True, slots=True)
class Reached(Generic[J]):
    """A job goes on; so many seconds of its audio are analysed."""

    job: J
    seconds: float


News = Finished[Job, Analysed] | Crashed[Job] | Reached[Job]


class Engine(Protocol):
    """Analyses jobs in parallel. Iterating drives it; closing the iterator ends its workers."""

    def run(self, jobs: Sequence[Job], settings: "Settings", target: Target) -> Iterator[News]:
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

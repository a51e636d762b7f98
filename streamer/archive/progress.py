"""A progress bar over an archive, with the time left."""

from collections.abc import Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from streamer.archive.engines import Crashed, Finished, Reached
from streamer.archive.plan import Job


class ArchiveProgress:
    """Shows on stderr how far an archive is, where somebody watches."""

    def __init__(self, jobs: Sequence[Job]) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("{task.completed:.0f} of {task.total:.0f} calls"),
            BarColumn(),
            TaskProgressColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )
        self._bar = self._progress.add_task("", total=len(jobs))

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._progress.stop()

    def take(self, news: Finished | Crashed | Reached) -> None:
        """Count a finished call."""
        if isinstance(news, Finished):
            self._progress.advance(self._bar)

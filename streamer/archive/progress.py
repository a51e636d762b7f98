"""Progress of an archive, on stderr."""

import contextlib
import sys
from collections.abc import Sequence

from streamer.archive.engines import Finished, News
from streamer.archive.plan import Job
from streamer.sinks.progress import Progress


class ArchiveProgress(contextlib.ExitStack):
    """Shows a progress bar over the calls that are not done yet, where somebody watches. A context manager.

    The time left is estimated from their sizes.
    """

    def __init__(self) -> None:
        super().__init__()
        self._progress: Progress | None = None

    def begin(self, jobs: Sequence[Job]) -> None:
        """Show the bar."""
        if jobs and sys.stderr.isatty():
            sizes = {job.name: float(job.size) for job in jobs}
            self._progress = self.enter_context(Progress(sizes, "calls"))

    def take(self, news: News) -> None:
        """Count a finished call."""
        if self._progress and isinstance(news, Finished):
            self._progress.finish(news.job.name)

"""One progress bar for many conversations, on stderr."""

from collections.abc import Callable, Mapping
from functools import partial
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamer import events
from streamer.sinks import Sink

if TYPE_CHECKING:
    from rich.progress import TaskID


class Progress:
    """Shows how much of all recordings has been analysed. A context manager.

    Args:
        durations: seconds of each recording; 0 for one that cannot be opened.
    """

    def __init__(self, durations: Mapping[str, float]) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._seconds = durations
        self._done = dict.fromkeys(durations, 0.0)
        self._bar = Bar(
            TextColumn("{task.fields[files]}/{task.fields[all]} recordings"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID = self._bar.add_task(
            "", total=sum(self._seconds.values()), files=0, all=len(durations)
        )
        self._finished = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def sink(self, file: str) -> "ProgressSink":
        """Make a sink for the events of one recording."""
        return ProgressSink(partial(self.reach, file))

    def reach(self, file: str, seconds: float) -> None:
        """Note how far a recording has been analysed, in seconds."""
        self._done[file] = max(self._done[file], min(seconds, self._seconds[file]))
        self._bar.update(self._task, completed=sum(self._done.values()))

    def finish(self, file: str) -> None:
        """Count a recording as done, whether it succeeded or not."""
        self._finished += 1
        self.reach(file, self._seconds[file])
        self._bar.update(self._task, files=self._finished)


class ProgressSink(Sink):
    """Reports how far its conversation is, in seconds."""

    delivers = False

    def __init__(self, reached: Callable[[float], None]) -> None:
        self._reached = reached

    async def emit(self, event: events.Event) -> None:
        """Report the end of an utterance."""
        if isinstance(event, events.Utterance):
            self._reached(event.end)

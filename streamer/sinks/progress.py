"""One progress bar for many recordings, on stderr."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Self

from streamer import events
from streamer.sinks import Sink

if TYPE_CHECKING:
    from rich.progress import TaskID


class Progress:
    """Shows how much of all recordings has been analysed. A context manager.

    Args:
        sizes: of each recording, in any one unit; seconds where `reach` is called.
        what: what the recordings are called.
    """

    def __init__(self, sizes: Mapping[str, float], what: str = "recordings") -> None:
        from rich.console import Console
        from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        self._sizes = sizes
        self._done = dict.fromkeys(sizes, 0.0)
        self._bar = Bar(
            TextColumn(f"{{task.fields[files]}}/{len(sizes)} {what}"),
            BarColumn(),
            TextColumn("{task.percentage:3.0f}%"),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
        )
        self._task: TaskID = self._bar.add_task("", total=sum(sizes.values()), files=0)
        self._finished = 0

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._bar.stop()

    def sink(self, file: str) -> "ProgressSink":
        """Make a sink for the events of one recording."""
        return ProgressSink(partial(self.reach, file))

    def reach(self, file: str, seconds: float) -> None:
        """Note how far a recording has been analysed, in seconds."""
        before = self._done[file]
        self._done[file] = max(before, min(seconds, self._sizes[file]))
        self._bar.advance(self._task, self._done[file] - before)

    def finish(self, file: str) -> None:
        """Count a recording as done, whether it succeeded or not."""
        self._finished += 1
        self.reach(file, self._sizes[file])
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

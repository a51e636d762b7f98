"""A running conversation seen from outside: how it is steered, and how it is doing."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(eq=False)
class Control:
    """Requests to a conversation: pause, stop, mark. For the tasks of one event loop."""

    duration: float | None = None
    """Seconds after which a live conversation ends; None: when stopped."""
    paused: bool = False
    """While true, live audio is discarded unanalysed."""
    stopped: str | None = None
    """Why the conversation was asked to end: interrupted, terminated, finished; None while it may go on."""
    marks: "asyncio.Queue[str | None]" = field(default_factory=asyncio.Queue)
    """Labels of the moments marked and not yet reported; None for a mark without a label."""
    summaries: "asyncio.Queue[None]" = field(default_factory=asyncio.Queue)
    """Summaries asked for and not yet emitted."""
    _callbacks: list[Callable[[], None]] = field(default_factory=list)

    def stop(self, reason: str = "finished") -> None:
        """Ask the conversation to end properly; the first reason counts."""
        if self.stopped is None:
            self.stopped = reason
            for callback in [*self._callbacks]:
                callback()

    def mark(self, label: str | None = None) -> None:
        """Mark this moment."""
        self.marks.put_nowait(label)

    def summarize(self) -> None:
        """Ask for a summary event."""
        self.summaries.put_nowait(None)

    @contextlib.contextmanager
    def on_stop(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call a function when the conversation is stopped while the context is open; at once if it already is."""
        self._callbacks.append(callback)
        if self.stopped is not None:
            callback()
        try:
            yield
        finally:
            self._callbacks.remove(callback)


@dataclass
class TranscriptCounts:
    """What became of the transcriptions of a conversation."""

    begun: int = 0
    """Of utterances that ended or might have ended."""
    reused: int = 0
    """Begun at a pause that turned out to be the end."""
    cancelled: int = 0
    """Begun at a pause after which the speaker went on, or given up because it took too long."""
    drafts: int = 0
    """Begun while the speaker spoke."""


@dataclass
class LiveStatus:
    """Condition of a live conversation, for meters, displays and metrics."""

    position: int = 0
    """End of the audio captured so far, in samples."""
    lag: float = 0.0
    """Seconds of captured audio that are not analysed yet."""
    lost: float = 0.0
    """Seconds of audio dropped because analysis was behind, summed over the channels."""
    behind: bool = False
    """Whether work is being shed for lack of time."""
    outbox: Callable[[], int] = int
    """Counts the events that wait for the broker."""
    paused: bool = False
    """Whether audio is being discarded on request."""
    transcripts: TranscriptCounts = field(default_factory=TranscriptCounts)
    """Transcriptions begun, used and cancelled so far."""
    levels: dict[int, float] = field(default_factory=dict)
    """Loudness of each channel: root mean square, 1 is full scale; fades slowly enough to be read."""

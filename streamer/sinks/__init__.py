"""Sinks: where events go. Each is one file here, an asynchronous context manager with `emit`."""

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from streamer.events import Event


class Sink(Protocol):
    """Takes the events of a conversation, in order.

    `emit` may take its time: a bounded queue stands in front of every sink, so that a slow one delays
    nobody. Leaving the context flushes and closes; one that has nothing to open inherits both.
    """

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        return None

    async def emit(self, event: Event) -> None:
        """Deliver one event."""
        ...


@runtime_checkable
class BatchSink(Sink, Protocol):
    """A sink for which several events at a time are less work than each by itself."""

    async def emit_all(self, several: Sequence[Event]) -> None:
        """Deliver events, in order."""
        ...


@runtime_checkable
class ReportingSink(Sink, Protocol):
    """A sink that has something to tell: it goes on, but not all is well."""

    report: Callable[[str], None]
    """Gets a line; logs it, as long as no conversation makes an `error` event of it."""

"""Events for people: a live table in a terminal, plain lines elsewhere."""

import asyncio
import contextlib
import signal
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamer import events
from streamer.registry import Plugin, SinkContext
from streamer.sinks.lines import event_lines, percentiles, present_line
from streamer.sinks.meters import level_meter, status_line
from streamer.views import View

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from streamer.control import LiveStatus

_LINES = 200
"""Lines that are written again when the terminal's size changes, if they fit."""
_SETTLED = 0.1
"""Seconds after which a terminal's size counts as settled."""


class ConsoleSink:
    """One line for each utterance; in a terminal also who speaks now, and how the moods move.

    Args:
        console: where to write; None for standard output.
        status: of a live conversation, shown beside its events.
    """

    def __init__(
        self, *, console: "Console | None" = None, status: "LiveStatus | None" = None
    ) -> None:
        self._status = status
        self._view = View()
        self._console = console
        self._live: Live | None = None
        self._lines: deque[Text] = deque(maxlen=_LINES)
        self._redrawing: asyncio.TimerHandle | None = None

    async def __aenter__(self) -> Self:
        from rich.console import Console

        self._console = self._console or Console(highlight=False)
        if self._console.is_terminal:
            self._begin(self._console)
            with contextlib.suppress(NotImplementedError, RuntimeError):  # not on every system
                asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self._resized)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._live:
            with contextlib.suppress(NotImplementedError, RuntimeError):
                asyncio.get_running_loop().remove_signal_handler(signal.SIGWINCH)
            if self._redrawing:
                self._redrawing.cancel()
            self._live.stop()

    async def emit(self, event: events.Event) -> None:
        """Show one event."""
        self._view.take(event)
        for line in event_lines(event, self._view):
            self._lines.append(line)
            if self._console:
                self._write(self._console, line)

    def _write(self, console: "Console", line: "Text") -> None:
        shown = line.copy()
        if console.is_terminal:
            shown.truncate(console.width, overflow="ellipsis")
        console.print(shown, soft_wrap=not console.is_terminal)

    def _begin(self, console: "Console") -> None:
        """Show what goes on now below the lines."""
        from rich.live import Live

        self._live = Live(
            get_renderable=self._now, console=console, refresh_per_second=8, transient=True
        )
        self._live.start()

    def _resized(self) -> None:
        if self._redrawing:
            self._redrawing.cancel()
        self._redrawing = asyncio.get_running_loop().call_later(_SETTLED, self._redraw)

    def _redraw(self) -> None:
        """Write all lines again: terminals differ in how they break lines when their size changes."""
        from rich.control import Control

        if not self._live or not self._console:
            return
        self._live.stop()
        self._console.control(Control.clear(), Control.home())
        room = max(1, self._console.height - len(self._view.channels) - 2)
        for line in list(self._lines)[-room:]:
            self._write(self._console, line)
        self._begin(self._console)

    def _now(self) -> "RenderableType":
        """Return what stands below the lines: each channel's present and mood."""
        from rich.console import Group

        view = self._view
        channels = [] if view.ended else list(view.channels.values())
        width = max((len(channel.name) for channel in channels), default=0)
        lines = []
        for index, channel in enumerate(channels):
            meter = level_meter(self._status.levels.get(index, 0.0)) if self._status else None
            lines.append(present_line(channel, view, width, meter))
        if self._status and lines:
            lines.append(status_line(self._status, percentiles(view)))
        return Group(*lines)


def _make(*, context: SinkContext) -> ConsoleSink | None:
    return ConsoleSink(status=context.status) if context.table else None


PLUGIN = Plugin(_make)

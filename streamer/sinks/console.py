"""Events for people: a live table in a terminal, plain lines elsewhere."""

import asyncio
import contextlib
import signal
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, ParamSpec, Self

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

P = ParamSpec("P")

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
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="console")

    async def __aenter__(self) -> Self:
        self._console = self._console or _console()
        if self._console.is_terminal:
            await self._run(self._begin, self._console)
            with contextlib.suppress(NotImplementedError, RuntimeError):  # not on every system
                asyncio.get_running_loop().add_signal_handler(signal.SIGWINCH, self._resized)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._live:
            with contextlib.suppress(NotImplementedError, RuntimeError):
                asyncio.get_running_loop().remove_signal_handler(signal.SIGWINCH)
            if self._redrawing:
                self._redrawing.cancel()
            await self._run(self._live.stop)
        self._thread.shutdown(wait=False)

    async def emit(self, event: events.Event) -> None:
        """Show one event."""
        self._view.take(event)
        lines = [*event_lines(event, self._view)]
        if lines and self._console:
            self._lines.extend(lines)
            await self._run(self._write_all, self._console, lines)

    async def _run(self, function: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Write in a thread: the terminal, or what reads the pipe, may be slow."""
        work = partial(function, *args, **kwargs)
        await asyncio.get_running_loop().run_in_executor(self._thread, work)

    def _write_all(self, console: "Console", lines: "Iterable[Text]") -> None:
        for line in lines:
            self._write(console, line)

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
        loop = asyncio.get_running_loop()
        self._redrawing = loop.call_later(_SETTLED, self._thread.submit, self._redraw)

    def _redraw(self) -> None:
        """Write all lines again: terminals differ in how they break lines when their size changes."""
        from rich.control import Control

        if not self._live or not self._console:
            return
        self._live.stop()
        self._console.control(Control.clear(), Control.home())
        room = max(1, self._console.height - len(self._view.channels) - 2)
        self._write_all(self._console, list(self._lines)[-room:])
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


def _console() -> "Console":
    """Return standard output; when its reader has gone, printing raises, and does not end the program."""
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            self.quiet = True
            raise BrokenPipeError

    return Output(highlight=False)


def _make(*, context: SinkContext) -> ConsoleSink | None:
    return ConsoleSink(status=context.status) if context.table else None


PLUGIN = Plugin(_make, commands=frozenset({"replay", "listen", "send"}))

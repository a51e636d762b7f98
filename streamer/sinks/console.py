"""Events for people: a live table in a terminal, plain lines elsewhere."""

import asyncio
import contextlib
import signal
from collections import deque
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamer import events
from streamer.sinks.meters import level_meter, status_line

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from streamer.conversation.load import Live as LiveConversation

COLOURS = {"angry": "red", "happy": "green", "sad": "blue", "neutral": "white"}
_OTHER = "magenta"
_BAR = 8
_SPARKS = "▁▂▃▄▅▆▇█"
_LINES = 200
"""Lines that are written again when the terminal's size changes, if they fit."""
_SETTLED = 0.1
"""Seconds after which a terminal's size counts as settled."""
_HISTORY = 24
"""Moods of a speaker that the sparkline shows."""
_NO_TEXT = {
    "rejected": "(no clear words)",
    "failed": "(transcription failed)",
    "skipped": "",
    "withheld": "(withheld)",
}


class ConsoleSink:
    """One line for each utterance; in a terminal also who speaks now, and how the moods move.

    Args:
        console: where to write; None for standard output.
        live: what to show of a live conversation besides its events.
    """

    def __init__(
        self, *, console: "Console | None" = None, live: "LiveConversation | None" = None
    ) -> None:
        self._watched = live
        self._speakers: dict[str, _Speaker] = {}
        self._console = console
        self._live: Live | None = None
        self._lines: deque[Text] = deque(maxlen=_LINES)
        self._redrawing: asyncio.TimerHandle | None = None
        self._latencies: deque[float] = deque(maxlen=500)
        self._heading = ""

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
        line = self._take(event)
        if self._console and line is not None:
            self._lines.append(line)
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
        """Write everything anew: terminals break lines anew, or do not, so nobody knows what stands where."""
        from rich.control import Control

        if not self._live or not self._console:
            return
        self._live.stop()
        self._console.control(Control.clear(), Control.home())
        room = max(1, self._console.height - len(self._speakers) - 2)
        for line in list(self._lines)[-room:]:
            self._write(self._console, line)
        self._begin(self._console)

    def _take(self, event: events.Event) -> "Text | None":
        """Remember what the event changes; give the line that it is worth."""
        from rich.text import Text

        line: Text | None = None
        match event:
            case events.SessionStarted():
                self._speakers = {name: _Speaker(name) for name in event.channels}
                model = f"{event.model.name} {event.model.version}"
                line = Text(f"{event.source}  ·  {model}  ·  asr: {event.asr}", style="bold")
            case events.SpeechStarted():
                self._speaker(event.channel).speaking = {}
            case events.SpeechUpdate():
                self._speaker(event.channel).speaking = event.probabilities
            case events.Utterance():
                self._speaker(event.channel).speaking = None
                self._latencies.append(event.latency_ms.total)
                line = self._utterance(event)
            case events.Mood():
                self._speaker(event.channel).moods.append(event.probabilities)
                self._speaker(event.channel).trend = event.trend
            case events.Gap():
                lost = event.end - event.start
                text = f"{_clock(event.start)}  {event.channel}: {lost:.2f} s lost ({event.reason})"
                line = Text(text, style="yellow")
            case events.Mark():
                line = Text(f"{_clock(event.at)}  ─── {event.label or 'mark'} ───", style="cyan")
            case events.Error():
                line = Text(f"{event.part}: {event.message}", style="red")
            case events.SessionEnded():
                self._speakers = {}
                line = Text(self._summary(event), style="bold")
        return line

    def _utterance(self, event: events.Utterance) -> "Text":
        from rich.text import Text

        width = max((len(name) for name in self._speakers), default=0)
        emotion = event.emotion or "?"
        style = COLOURS.get(emotion, _OTHER) if not event.abstained else "dim"
        filled = round(event.confidence * _BAR)
        words = event.text if event.text is not None else _NO_TEXT.get(event.text_status, "")
        return Text.assemble(
            (_clock(event.start), "dim"),
            f"  {event.channel:<{width}}  ",
            (f"{emotion + ('?' if event.abstained else ''):<8}", style),
            ("━" * filled, style),
            ("━" * (_BAR - filled), "dim"),
            f" {event.confidence:4.0%} ",
            (f"{event.latency_ms.total:5.0f} ms  ", "dim"),
            (words, "" if event.text is not None else "dim"),
        )

    def _now(self) -> "RenderableType":
        """What stands below the lines: each speaker's present and mood."""
        from rich.console import Group
        from rich.text import Text

        width = max((len(name) for name in self._speakers), default=0)
        lines = []
        for index, speaker in enumerate(list(self._speakers.values())):
            line = Text(no_wrap=True, overflow="ellipsis")
            line.append("● " if speaker.speaking is not None else "  ", "green")
            line.append(f"{speaker.name:<{width}}  ")
            if self._watched:
                line.append_text(level_meter(self._watched.levels.get(index, 0.0)))
            line.append_text(speaker.sparkline())
            if speaker.trend:
                line.append(f"  {speaker.trend}", "dim")
            if present := speaker.speaking:
                best = max(present, key=lambda label: present[label])
                line.append(f"  speaking: {best} {present[best]:.0%}", COLOURS.get(best, _OTHER))
            lines.append(line)
        if self._watched and lines:
            lines.append(status_line(self._watched, self._percentiles()))
        return Group(*lines)

    def _percentiles(self) -> str:
        """The median and the 95th percentile of the latest latencies, in words."""
        ordered = sorted(self._latencies)
        if not ordered:
            return ""
        p50, p95 = (ordered[int(q * len(ordered))] for q in (0.5, 0.95))
        return f"latency p50 {p50:.0f} ms, p95 {p95:.0f} ms"

    def _summary(self, event: events.SessionEnded) -> str:
        parts = [f"{event.reason}: {event.utterances} utterances in {_clock(event.duration)}"]
        if latency := self._percentiles():
            parts.append(latency)
        if event.gaps:
            parts.append(f"{event.gaps} gaps")
        if event.errors:
            parts.append(f"{event.errors} errors")
        return "  ·  ".join(parts)

    def _speaker(self, name: str) -> "_Speaker":
        return self._speakers.setdefault(name, _Speaker(name))


class _Speaker:
    """What is known of one speaker."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.speaking: dict[str, float] | None = None
        """The present estimate while the person speaks."""
        self.moods: deque[dict[str, float]] = deque(maxlen=_HISTORY)
        self.trend = ""

    def sparkline(self) -> "Text":
        """The mood of the last utterances: the height is its strength, the colour its emotion."""
        from rich.text import Text

        line = Text()
        for mood in self.moods:
            best = max(mood, key=lambda label: mood[label])
            height = min(int(mood[best] * len(_SPARKS)), len(_SPARKS) - 1)
            line.append(_SPARKS[height], COLOURS.get(best, _OTHER))
        return line


def _clock(seconds: float) -> str:
    minutes, rest = divmod(seconds, 60)
    return f"{int(minutes):02d}:{rest:04.1f}"

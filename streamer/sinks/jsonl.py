"""Events as JSON lines, to a file or standard output."""

import asyncio
import os
import stat
import sys
from pathlib import Path
from types import TracebackType
from typing import Self

from streamer.errors import UserError
from streamer.events import Event
from streamer.registry import Option, Plugin, SinkContext


class JsonlSink:
    """Appends one line for each event; whoever reads along never sees half a line.

    Args:
        path: a file, to which sessions are added; None for standard output.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._descriptor = -1

    async def __aenter__(self) -> Self:
        if self._path is None:
            sys.stdout.flush()
            self._descriptor = os.dup(sys.stdout.fileno())
            return self
        try:
            self._descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o644)
            self._end_broken_line()
        except OSError as error:
            raise UserError(f"{self._path}: {(error.strerror or 'no access').lower()}") from None
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        os.close(self._descriptor)

    async def emit(self, event: Event) -> None:
        """Write the event's line; in a thread, since a pipe's reader may be slow."""
        line = event.to_json().encode() + b"\n"
        if self._path is not None:
            self._write(line)
        else:
            await asyncio.to_thread(self._write, line)

    def _write(self, line: bytes) -> None:
        view = memoryview(line)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def _end_broken_line(self) -> None:
        """If a run was killed in the middle of a line, the next line must not grow onto it."""
        info = os.fstat(self._descriptor)
        held = info.st_size if stat.S_ISREG(info.st_mode) else 0
        if held and os.pread(self._descriptor, 1, held - 1) != b"\n":
            self._write(b"\n")


def _make(*, context: SinkContext, jsonl: str | None) -> JsonlSink | None:  # noqa: ARG001 - every sink gets it
    if jsonl is None:
        return None
    return JsonlSink(None if jsonl == "-" else Path(jsonl))


PLUGIN = Plugin(
    _make,
    (
        Option(
            "--jsonl",
            metavar="FILE",
            help="append events as JSON lines; - for standard output, FOLDER/ for a file each",
        ),
    ),
    commands=frozenset({"replay", "listen", "serve"}),
)

"""Events as JSON lines, to a file, a folder, a pipe or standard output."""

import asyncio
import os
import stat
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Self

from streamer.errors import UserError
from streamer.events import Event
from streamer.registry import Option, Plugin, SinkContext
from streamer.sinks.descriptor import DescriptorWriter, open_pipe
from streamer.text import file_name

_APPEND = os.O_RDWR | os.O_CREAT | os.O_APPEND


class JsonlSink:
    """Writes one line for each event; a reader never sees half a line.

    Args:
        target: A file, to which sessions are added; a folder (it exists, or ends with a slash), where each session gets
            a new file of its name; None for standard output.
    """

    def __init__(self, target: str | Path | None) -> None:
        self._target = target
        self._writer: DescriptorWriter | None = None
        self._reopens = False

    async def __aenter__(self) -> Self:
        try:
            if self._target is None:
                self._writer = DescriptorWriter(_standard_output())
            elif await asyncio.to_thread(is_folder, self._target):
                await asyncio.to_thread(_prepare, Path(self._target))
            else:
                self._writer = await _append_to(Path(self._target))
        except OSError as error:
            raise UserError(f"{self._target}: {(error.strerror or 'no access').lower()}") from None
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._writer:
            await self._writer.close()

    def reopen(self) -> None:
        """Open the file again with the next event: it was moved away to start a new one."""
        self._reopens = self._target is not None and not is_folder(self._target)

    async def emit(self, event: Event) -> None:
        """Write the event's line."""
        await self.emit_all([event])

    async def emit_all(self, several: Sequence[Event]) -> None:
        """Write the lines of events of one session."""
        if self._reopens and self._writer and self._target:
            self._reopens = False
            await self._writer.close()
            self._writer = await _append_to(Path(self._target))
        if self._writer is None:
            opened = await asyncio.to_thread(
                _new_file, Path(self._target or "."), several[0].session
            )
            self._writer = DescriptorWriter(opened)
        lines = b"".join(event.to_json().encode() + b"\n" for event in several)
        await self._writer.write(lines)


def is_folder(target: str | Path) -> bool:
    """Return whether a target names a folder: by a slash at its end, or because it is one."""
    return str(target).endswith("/") or Path(target).is_dir()


def _standard_output() -> int:
    if sys.stdout is None:
        raise UserError("--jsonl -: standard output is closed")
    sys.stdout.flush()
    return os.dup(sys.stdout.fileno())


def _prepare(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not os.access(folder, os.W_OK):
        raise PermissionError(0, "permission denied")


def _new_file(folder: Path, session: str) -> int:
    """Return a file that is not there yet: calls are never mixed in one."""
    name = file_name(session)
    for number in range(1, 10_000):
        path = folder / (f"{name}.jsonl" if number == 1 else f"{name}-{number}.jsonl")
        try:
            return os.open(path, _APPEND | os.O_EXCL, 0o644)
        except FileExistsError:
            continue
    raise FileExistsError(0, f"{folder}: too many files of {name}")


async def _append_to(path: Path) -> DescriptorWriter:
    if await asyncio.to_thread(path.is_fifo):
        return DescriptorWriter(await open_pipe(path))
    return DescriptorWriter(await asyncio.to_thread(_open, path))


def _open(path: Path) -> int:
    descriptor = os.open(path, _APPEND, 0o644)
    # If a run was killed in the middle of a line, the next line must not grow onto it.
    info = os.fstat(descriptor)
    held = info.st_size if stat.S_ISREG(info.st_mode) else 0
    if held and os.pread(descriptor, 1, held - 1) != b"\n":
        os.write(descriptor, b"\n")
    return descriptor


def _make(*, context: SinkContext, jsonl: str | None) -> JsonlSink | None:  # noqa: ARG001 - every sink gets it
    if jsonl is None:
        return None
    return JsonlSink(None if jsonl == "-" else jsonl)


PLUGIN = Plugin(
    _make,
    (
        Option(
            "--jsonl",
            metavar="FILE|FOLDER/|-",
            help="append events as JSON lines to a file; FOLDER/: a new file for each conversation, named by "
            "its session; -: standard output",
        ),
    ),
    commands=frozenset({"replay", "listen", "serve", "send"}),
)

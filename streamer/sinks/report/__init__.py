"""Reports: a conversation as a self-contained HTML page, a folder of them with an index."""

import asyncio
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

from streamer.errors import UserError
from streamer.events import Event, SessionEnded, SessionStarted
from streamer.files import write_atomically
from streamer.registry import Option, Plugin, SinkContext
from streamer.sinks.report.folder import is_folder, page_name, write_index
from streamer.sinks.report.page import Report


class ReportSink:
    """Writes a page when the conversation ends.

    Args:
        target: the page, or a folder (it exists, or ends with a slash) that also gets an index.
        announce: gets a line with the page's address.
    """

    def __init__(
        self, target: str | Path, *, announce: Callable[[str], object] | None = None
    ) -> None:
        self._folder = Path(target) if is_folder(target) else None
        self._page = Path(target)
        self._report = Report()
        self._announce = announce
        self._unwritten = False
        self._written: Path | None = None

    async def __aenter__(self) -> Self:
        check_target(self._folder or self._page.parent)
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._unwritten:
            await asyncio.to_thread(self._write)
        if self._written and self._announce:
            self._announce(f"report: {self._written.resolve().as_uri()}\n")

    async def emit(self, event: Event) -> None:
        """Collect an event; write the page after the last one."""
        self._report.take(event)
        self._unwritten |= isinstance(event, SessionStarted)
        if isinstance(event, SessionEnded):
            await asyncio.to_thread(self._write)

    def _write(self) -> None:
        self._unwritten = False
        page = self._page
        if self._folder:
            page = self._folder / page_name(self._report.view.session)
        write_atomically(page, self._report.render())
        self._written = page
        if self._folder:
            write_index(self._folder)


def check_target(folder: Path) -> None:
    """Create a folder for reports if it is not there, and write into it.

    Raises:
        UserError: if that is not possible.
    """
    probe = folder / ".streamer.part"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(probe, "")
        probe.unlink()
    except FileExistsError:
        raise UserError(f"{folder}: not a directory") from None
    except OSError as error:
        raise UserError(f"{folder}: {(error.strerror or 'no access').lower()}") from None


def _make(*, context: SinkContext, report: str | None) -> ReportSink | None:
    if report is None:
        return None
    return ReportSink(report, announce=sys.stderr.write if context.table else None)


PLUGIN = Plugin(
    _make,
    (
        Option(
            "--report",
            metavar="FILE.html|FOLDER/",
            help="write a page with figures, timeline and transcript; a folder gets one each and an index",
        ),
    ),
)

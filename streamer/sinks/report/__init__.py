"""Reports: a conversation as a self-contained HTML page, a folder of them with an index."""

import asyncio
from pathlib import Path
from types import TracebackType
from typing import Self

from streamer.errors import UserError
from streamer.events import Event, SessionEnded, SessionStarted
from streamer.sinks.report.folder import is_folder, page_name, write_atomically, write_index
from streamer.sinks.report.page import Report


class ReportSink:
    """Writes a page when the conversation ends.

    Args:
        target: the page, or a folder (it exists, or ends with a slash) that also gets an index.
    """

    def __init__(self, target: str | Path) -> None:
        self._folder = Path(target) if is_folder(target) else None
        self._page = Path(target)
        self._report = Report()
        self._unwritten = False

    async def __aenter__(self) -> Self:
        check_target(self._folder or self._page.parent)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._unwritten:
            await asyncio.to_thread(self._write)

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

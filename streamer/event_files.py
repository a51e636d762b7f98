"""Stored events: files of JSON lines, split into their conversations."""

import io
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pydantic import ValidationError

from streamer.errors import UserError
from streamer.events import Event, SessionEnded, SessionStarted, parse

_MAX_LINE = 4 * 1024 * 1024
"""Bytes; no event comes near it."""


@dataclass(slots=True)
class Recorded:
    """The events of one conversation, as they were stored."""

    session: str
    file: str
    events: list[Event] = field(default_factory=list)
    unreadable: int = 0
    """Lines of the file that are no events."""
    complete: bool = False
    """Whether its end was stored."""

    @property
    def name(self) -> str:
        """Its title: the recording's name without its suffix, or the session."""
        first = self.events[0] if self.events else None
        if isinstance(first, SessionStarted) and first.source not in ("", "-"):
            return Path(first.source).stem or self.session
        return self.session


def read(paths: Iterable[Path]) -> list[Recorded]:
    """Read all conversations of the files, in the order of their first events.

    A line that is no event (the last one, if a run was killed) is counted and skipped. A second
    `session_started` of a session begins another conversation.

    Raises:
        UserError: if a file cannot be read or holds no event.
    """
    return [each for path in paths for each in _read_file(path)]


def _read_file(path: Path) -> list[Recorded]:
    found: list[Recorded] = []
    latest: dict[str, Recorded] = {}
    unreadable = 0
    try:
        with _opened(path) as lines:
            while line := lines.readline(_MAX_LINE):
                if not line.strip():
                    continue
                try:
                    event = parse(line)
                except ValidationError:
                    unreadable += 1
                    continue
                _add(event, found, latest, str(path))
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'no access').lower()}") from None
    if not found:
        raise UserError(
            f"{path}: holds no events"
            + (f" ({unreadable} lines are none)" if unreadable else ": it is empty")
        )
    for each in found:
        each.unreadable = unreadable
    return found


def _opened(path: Path) -> BinaryIO:
    """Open a file of events, compressed (`.zst`) or not.

    Raises:
        OSError: if it cannot be opened.
        UserError: if it is compressed and zstandard is not installed.
    """
    if path.suffix != ".zst":
        return path.open("rb")
    try:
        import zstandard
    except ImportError:
        raise UserError(
            f"{path}: needs zstandard: pip install 'streamer-emotion[archive]'"
        ) from None
    reader = zstandard.ZstdDecompressor(max_window_size=1 << 27).stream_reader(
        path.open("rb"), closefd=True
    )
    return io.BufferedReader(reader)


def _add(event: Event, found: list[Recorded], latest: dict[str, Recorded], file: str) -> None:
    recorded = latest.get(event.session)
    if recorded is None or isinstance(event, SessionStarted):
        recorded = latest[event.session] = Recorded(event.session, file)
        found.append(recorded)
    recorded.events.append(event)
    recorded.complete |= isinstance(event, SessionEnded)


def chosen(recorded: list[Recorded], session: str | None) -> list[Recorded]:
    """Return the conversations of a session, or all if None.

    Raises:
        UserError: if there is none.
    """
    if session is None:
        return recorded
    found = [each for each in recorded if each.session == session]
    if not found:
        raise UserError(f"no session {session}; there are {names(recorded)}")
    return found


def names(recorded: list[Recorded]) -> str:
    """Return the sessions' ids for a message."""
    ids = list(dict.fromkeys(each.session for each in recorded))
    return ", ".join(ids[:5]) + (", ..." if len(ids) > 5 else "")


def distinct(recorded: list[Recorded]) -> list[str]:
    """Return a different name for each conversation: its session, numbered if it was stored again."""
    taken: list[str] = []
    for each in recorded:
        name, number = each.session, 1
        while name in taken:
            number += 1
            name = f"{each.session}-{number}"
        taken.append(name)
    return taken

"""A folder of reports and its index page."""

import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pydantic import ValidationError

from streamer import __version__
from streamer.files import write_atomically
from streamer.sinks.report.page import Card, environment
from streamer.text import file_name

INDEX = "index.html"
_CARD = re.compile(r'<script type="application/json" id="card">(.*?)</script>', re.DOTALL)


def page_name(session: str) -> str:
    """Return the file name of a session's page."""
    return f"{file_name(session)}.html"


def is_folder(target: str | Path) -> bool:
    """Return whether a target names a folder: by a slash at its end, or because it is one."""
    return str(target).endswith("/") or Path(target).is_dir()


def write_index(folder: Path) -> Path:
    """Write the index of the reports that lie in a folder, the worst quarters first.

    Raises:
        OSError: if it cannot be read or written.
    """
    with _locked(folder):
        cards = sorted(
            _cards(folder),
            key=lambda each: (9.0 if each[1].worst is None else each[1].worst, each[0]),
        )
        page = environment().get_template("index.html.j2").render(cards=cards, version=__version__)
        write_atomically(folder / INDEX, page)
    return folder / INDEX


def _cards(folder: Path) -> Iterator[tuple[str, Card]]:
    for path in folder.glob("*.html"):
        found = _CARD.search(path.read_text(encoding="utf-8", errors="replace"))
        if found:
            try:
                yield path.name, Card.model_validate_json(found[1])
            except ValidationError:
                continue


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from writing the index of a folder meanwhile."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)

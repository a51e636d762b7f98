"""Files that are written whole or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX, _SUFFIX = ".", ".part"


@contextlib.contextmanager
def temporary(final: Path) -> Iterator[Path]:
    """Give a hidden, empty file beside a path; what is left of it when the block ends is removed.

    It has a name of its own, so that several processes may make the same file: the last one wins.

    Raises:
        OSError: if it cannot be made.
    """
    descriptor, name = tempfile.mkstemp(prefix=_PREFIX, suffix=_SUFFIX, dir=final.parent)
    os.close(descriptor)
    try:
        yield Path(name)
    finally:
        Path(name).unlink(missing_ok=True)


def move_into_place(partial: Path, final: Path) -> None:
    """Let a temporary file take its path, once all of it is on the disk.

    Raises:
        OSError: if it cannot be written.
    """
    with partial.open("rb") as file:
        os.fchmod(file.fileno(), 0o644)
        os.fsync(file.fileno())
    partial.replace(final)


def write_atomically(path: Path, content: str | bytes) -> None:
    """Write a file; a reader sees the old one or the new one, never a part.

    Args:
        path: the file; its folder is there.
        content: bytes, or text to be written as UTF-8.

    Raises:
        OSError: if it cannot be written; nothing is left behind then.
    """
    data = content.encode(errors="replace") if isinstance(content, str) else content
    with temporary(path) as partial:
        partial.write_bytes(data)
        move_into_place(partial, path)


def remove_leftovers(folder: Path) -> None:
    """Remove the temporary files of processes that were killed; nobody may write in the folder meanwhile."""
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        leftovers = [e.path for e in entries if e.name[0] == _PREFIX and e.name.endswith(_SUFFIX)]
    for leftover in leftovers:
        Path(leftover).unlink(missing_ok=True)

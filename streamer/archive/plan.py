"""Jobs of an archive: files, folders, globs, lists and object stores become jobs."""

import glob
import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from streamer.errors import UserError
from streamer.media import FORMATS
from streamer.text import file_name

_SUFFIXES = {f".{name}" for name in FORMATS} | {
    *(".wave", ".aif", ".oga", ".opus", ".m4a", ".m4b", ".mka", ".mkv", ".mp2", ".webm", ".3gp"),
    *(".wma", ".ts", ".mpg", ".rf64", ".aifc"),
}
"""Names of recordings, when folders are searched; a file that is named itself may have any."""
_MAX_LIST_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Job:
    """One recording to analyse."""

    source: str
    """A path, or a URL that fsspec knows."""
    name: str
    """File name of its results, without a suffix: unique, the same in every run."""
    size: int
    """Bytes; a measure of its cost."""


def plan(sources: Sequence[str]) -> list[Job]:
    """List the recordings that sources name, each once, the largest first.

    Args:
        sources: files, folders (searched through), globs, `@FILE` with one source a line, `SCHEME://...`.

    Raises:
        UserError: if a source is not there or cannot be listed, or there is no recording at all.
    """
    found: dict[str, int] = {}
    for source in _expanded(sources):
        for name, size in _recordings(source):
            found.setdefault(name, size)
    if not found:
        raise UserError(f"{', '.join(sources)[:200]}: no recordings there")
    jobs = [Job(source, job_name(source), size) for source, size in found.items()]
    return sorted(jobs, key=lambda job: (-job.size, job.source))


def job_name(source: str) -> str:
    """Give the name of a recording's results: readable, and different for different places."""
    digest = hashlib.sha256(source.encode(errors="surrogateescape")).hexdigest()[:10]
    return f"{file_name(Path(source).stem)[:80]}-{digest}"


def is_remote(source: str) -> bool:
    """Return whether a source is a URL."""
    return "://" in source


def file_system(source: str) -> tuple[Any, str]:
    """Give the fsspec file system of a URL, and the path in it.

    Raises:
        UserError: if fsspec, or the package for that scheme, is not installed, or the URL is malformed.
    """
    try:
        import fsspec
    except ImportError:
        raise UserError(
            f"{source}: needs fsspec: pip install 'streamer-emotion[archive]'"
        ) from None
    try:
        system, path = fsspec.core.url_to_fs(source)
    except (ImportError, ValueError) as error:
        raise UserError(f"{source}: {' '.join(str(error).split())[:200]}") from None
    return system, str(path)


def _expanded(sources: Sequence[str]) -> Iterator[str]:
    """Replace lists by what they name."""
    for source in sources:
        if not source.startswith("@"):
            yield source
            continue
        path = Path(source[1:])
        try:
            if path.stat().st_size > _MAX_LIST_BYTES:
                raise UserError(f"{path}: larger than {_MAX_LIST_BYTES >> 20} MB")
            with path.open(errors="surrogateescape") as lines:
                yield from filter(None, (line.strip() for line in lines))
        except OSError as error:
            raise UserError(f"{path}: {(error.strerror or 'no access').lower()}") from None


def _recordings(source: str) -> Iterator[tuple[str, int]]:
    if is_remote(source):
        yield from _remote(source)
    elif os.path.isdir(source):  # noqa: PTH112 - a path object for each of 100,000 names costs seconds
        yield from _folder(source)
    elif os.path.isfile(source):  # noqa: PTH113
        yield os.path.abspath(source), os.path.getsize(source)  # noqa: PTH100, PTH202
    else:
        matches = sorted(glob.glob(source, recursive=True))  # noqa: PTH207
        if not matches:
            raise UserError(f"{source}: no such file or folder")
        for match in matches:
            yield from _recordings(match)


def _folder(folder: str) -> Iterator[tuple[str, int]]:
    """Search a folder and all in it; files whose name begins with a dot are left out."""
    waiting = [os.path.abspath(folder)]  # noqa: PTH100
    while waiting:
        try:
            with os.scandir(waiting.pop()) as entries:
                for entry in entries:
                    if entry.name.startswith("."):
                        continue
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    elif os.path.splitext(entry.name)[1].lower() in _SUFFIXES:  # noqa: PTH122
                        yield entry.path, entry.stat().st_size
        except OSError as error:
            raise UserError(f"{folder}: {(error.strerror or 'no access').lower()}") from None


def _remote(source: str) -> Iterator[tuple[str, int]]:
    system, path = file_system(source)
    scheme = source.split("://", 1)[0]
    try:
        if glob.has_magic(path):
            found = system.glob(path, detail=True)
        elif system.isfile(path):
            found = {path: system.info(path)}
        else:
            found = system.find(path, detail=True)
    except Exception as error:
        # Each store raises errors of its own.
        raise UserError(f"{source}: {' '.join(str(error).split())[:200] or 'no access'}") from error
    alone = len(found) == 1
    for name, info in sorted(found.items()):
        suffix = os.path.splitext(name)[1].lower()  # noqa: PTH122
        if info.get("type") != "directory" and (alone or suffix in _SUFFIXES):
            yield (
                f"{scheme}://{name.removeprefix(f'{scheme}://').lstrip('/')}"
                if scheme
                not in (
                    "file",
                    "local",
                )
                else f"{scheme}://{name}",
                int(info.get("size") or 0),
            )

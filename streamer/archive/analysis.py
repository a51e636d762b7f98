"""One call -> its event file and report, each written whole or not at all."""

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.archive.plan import Job, file_system, is_remote
from streamer.errors import UserError
from streamer.events import Error, Event, SessionEnded, Utterance, parse
from streamer.files import move_into_place, temporary, write_atomically
from streamer.sinks import Sink
from streamer.sinks.jsonl import JsonlSink

if TYPE_CHECKING:
    from streamer.api import Engine

EVENTS, REPORTS = "events", "reports"
"""Folders of the target."""


@dataclass(frozen=True, slots=True)
class Target:
    """Target of results, and their form."""

    folder: Path
    compress: bool = False
    report: bool = False

    def events(self, name: str) -> Path:
        """Return the event file of a call."""
        return self.folder / EVENTS / f"{name}.jsonl{'.zst' if self.compress else ''}"

    def page(self, name: str) -> Path:
        """Return the report of a call."""
        return self.folder / REPORTS / f"{name}.html"


@dataclass(frozen=True, slots=True)
class Analysed:
    """Result of a call."""

    session: str = ""
    seconds: float = 0.0
    """Of audio."""
    cpu: float = 0.0
    """CPU seconds that it took, of all threads."""
    failure: str = ""
    """Why it could not be analysed, or what was wrong with it; "" if all went well."""
    written: bool = False
    """Whether its event file is there: also damaged recordings have one, up to and past the damage."""


def analyse(
    job: Job,
    engine: "Engine",
    target: Target,
    progress: Callable[[float], None] = lambda _: None,
) -> Analysed:
    """Analyse a call; what is wrong with the call itself is a result, not an exception.

    Args:
        job: the call.
        engine: the models.
        target: where its results go.
        progress: called with the seconds analysed so far.
    """
    try:
        with _local_file(job) as path:
            return asyncio.run(_analyse(job, path, engine, target, progress))
    except UserError as error:
        return Analysed(failure=str(error))
    except OSError as error:
        return Analysed(failure=f"{job.source}: {(error.strerror or 'no access').lower()}")


async def _analyse(
    job: Job,
    path: Path,
    engine: "Engine",
    target: Target,
    progress: Callable[[float], None],
) -> Analysed:
    from streamer.api import make_source
    from streamer.clock import VirtualClock
    from streamer.registry import SourceContext

    began = time.process_time()
    clock = VirtualClock()
    source = make_source(str(path), SourceContext(engine.settings.audio, clock), {})
    final = target.events(job.name)
    final.parent.mkdir(parents=True, exist_ok=True)
    course = _Course(progress)
    with temporary(final) as partial:
        outcome = await engine.run(source, [JsonlSink(partial), course], clock)
        if target.report:
            _write_report(partial.read_bytes(), target.page(job.name))
        if target.compress:
            partial.write_bytes(_compressed(partial.read_bytes()))
        move_into_place(partial, final)
    failure = "" if outcome.reason == "finished" else course.failure or "failed"
    cpu = time.process_time() - began
    return Analysed(outcome.session, course.duration, cpu, failure, written=True)


class _Course(Sink):
    """Notes how a call goes: how far it is, how long it was, what was wrong first."""

    def __init__(self, progress: Callable[[float], None]) -> None:
        self._progress = progress
        self.duration = 0.0
        """Seconds of audio, known at the end."""
        self.failure = ""

    async def emit(self, event: Event) -> None:
        """See `Sink.emit`."""
        match event:
            case Utterance():
                self._progress(event.end)
            case Error():
                self.failure = self.failure or f"{event.part}: {event.message}"
            case SessionEnded():
                self.duration = event.duration


@contextlib.contextmanager
def _local_file(job: Job) -> Iterator[Path]:
    """Give a path to the recording: itself, or a copy of a remote one for as long as it is needed."""
    if not is_remote(job.source):
        yield Path(job.source)
        return
    system, path = file_system(job.source)
    with tempfile.TemporaryDirectory(prefix="streamer-") as folder:
        copy = Path(folder) / Path(path).name
        try:
            system.get_file(path, str(copy))
        except Exception as error:
            # Each store raises errors of its own.
            reason = " ".join(str(error).split())[:200] or type(error).__name__
            raise UserError(f"{job.source}: {reason}") from error
        yield copy


def _compressed(data: bytes) -> bytes:
    try:
        import zstandard
    except ImportError:
        raise UserError(
            "--compress needs zstandard: pip install 'streamer-emotion[archive]'"
        ) from None
    compressed: bytes = zstandard.ZstdCompressor(level=9).compress(data)
    return compressed


def _write_report(lines: bytes, page: Path) -> None:
    from streamer.sinks.report.page import report

    page.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(page, report([parse(line) for line in lines.splitlines()]))

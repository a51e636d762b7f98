"""Parts of a training that do not depend on each other, several at a time, each in a process of its own.

A part computes with one thread, wherever it runs, so that its result is the same however many go on at once.
"""

import multiprocessing
import os
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from streamer.errors import UserError

_CHECKED_EACH_S = 1.0
"""An interruption is noticed within it."""


@dataclass(frozen=True)
class Part:
    """Something to be done; its result is what it leaves on disk.

    Attributes:
        name: Of it, and of the file with what it prints.
        work: A function of a module.
        arguments: Its arguments; all of it can be pickled.
    """

    name: str
    work: Callable[..., object]
    arguments: tuple[Any, ...]


@contextmanager
def _one_thread() -> Iterator[None]:
    """Pin torch to a single thread for as long as this lasts."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def do_parts(title: str, parts: Sequence[Part], logs: Path, *, workers: int) -> None:
    """Do all parts.

    Args:
        title: Of the progress bar.
        parts: In the order in which they begin; the longest first takes the least time.
        logs: Folder for what each prints.
        workers: Processes at a time; 1: none, one part after another here.

    Raises:
        UserError: A part has raised one.
        RuntimeError: A part has failed otherwise, or its process was killed. The others are then ended.
    """
    if workers <= 1:
        with _one_thread():
            for part in parts:
                part.work(*part.arguments)
        return
    if not parts:
        return
    context = multiprocessing.get_context("spawn")
    waiting = list(parts)
    running: dict[BaseProcess, tuple[Part, Connection, float]] = {}
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn())
    try:
        with Progress(
            *columns, MofNCompleteColumn(), TimeElapsedColumn(), console=console
        ) as progress:
            bar = progress.add_task(title, total=len(parts))
            while waiting or running:
                while waiting and len(running) < workers:
                    part = waiting.pop(0)
                    ours, theirs = context.Pipe()
                    process: BaseProcess = context.Process(
                        target=_do, args=(theirs, logs), name=part.name, daemon=True
                    )
                    process.start()
                    theirs.close()
                    running[process] = (part, ours, time.monotonic())
                    with suppress(BrokenPipeError, ConnectionResetError):
                        # not as an argument: a process that dies while it starts would be waited for for ever
                        ours.send(part)
                under_way = ", ".join(part.name for part, _, _ in running.values())
                progress.update(bar, description=f"{title}: {under_way}")
                ended = set(wait([process.sentinel for process in running], _CHECKED_EACH_S))
                for process in [p for p in running if p.sentinel in ended]:
                    part, ours, began = running.pop(process)
                    before = _cpu_s()
                    _check(part, process, ours)
                    progress.advance(bar)
                    took = f"{time.monotonic() - began:.0f} s, {_cpu_s() - before:.0f} s of a processor"
                    progress.console.print(f"{part.name}: done in {took}", highlight=False)
    finally:
        for process in running:
            process.terminate()
        for process in running:
            process.join()


def _cpu_s() -> float:
    """Return the CPU seconds of all processes that have been waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _check(part: Part, process: BaseProcess, said: Connection) -> None:
    """Raise the error of a process that has ended."""
    process.join()
    with said:
        try:
            failure = said.recv()
        except (EOFError, ConnectionResetError):
            failure = None
    if failure is not None:
        kind, message = failure
        raise (UserError if kind == UserError.__name__ else RuntimeError)(f"{part.name}: {message}")
    if process.exitcode:
        raise RuntimeError(
            f"{part.name}: its process was ended (exit code {process.exitcode}), perhaps for want of memory; "
            "start again to go on"
        )


def _do(parent: Connection, logs: Path) -> None:
    """Do parts in a process of its own."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent is interrupted too, and ends this
    threading.Thread(target=_end_with_parent, daemon=True).start()
    torch.set_num_threads(1)
    try:
        part: Part = parent.recv()
        logs.mkdir(parents=True, exist_ok=True)
        with (logs / f"{part.name}.txt").open("a") as log:
            for stream in (sys.stdout, sys.stderr):
                os.dup2(log.fileno(), stream.fileno())
        part.work(*part.arguments)
    except UserError as error:
        parent.send((UserError.__name__, str(error)))
    except Exception:  # noqa: BLE001 - sent to the parent, which raises it
        parent.send(("", traceback.format_exc()[-10_000:]))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)

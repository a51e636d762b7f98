"""Shared by the commands that analyse conversations: outputs, signals, exit codes."""

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from streamer.commands import FAILED, INTERRUPTED, OK, add_settings_options
from streamer.commands.logs import say
from streamer.errors import UserError
from streamer.registry import SINKS, SOURCES, Option

if TYPE_CHECKING:
    from streamer.control import Control
    from streamer.conversation.pipeline import Outcome
    from streamer.sinks import Sink


def add_conversation_options(parser: Any, command: str) -> None:
    """Add the options of every command that shows a conversation: names, sources and outputs, settings."""
    parser.add_argument(
        "--channels",
        type=lambda names: tuple(name.strip() for name in names.split(",")),
        metavar="NAME,NAME",
        help="who speaks on each channel",
    )
    parser.add_argument("--session", metavar="ID", help="the session's id (default: made up)")
    parser.add_argument("--quiet", action="store_true", help="show no table")
    parser.later(lambda: add_plugin_options(parser, command))
    add_settings_options(parser)


def notify(line: str) -> None:
    """Say a line to the user on stderr."""
    say(line)


def add_plugin_options(parser: argparse.ArgumentParser, command: str) -> None:
    """Add the options of the sources and sinks that a command offers; several may share one."""
    added: set[Option] = set()
    for registry, title in ((SOURCES, "audio"), (SINKS, "outputs")):
        group = parser.add_argument_group(title)
        for name, plugin in registry.items():
            if command not in plugin.commands:
                continue
            for option in plugin.options:
                if option in added:
                    continue
                added.add(option)
                try:
                    group.add_argument(option.flag, **option.arguments)
                except argparse.ArgumentError:
                    notify(f"{registry.kind} {name}: its option {option.flag} is taken; left out")
    try:
        SOURCES.find("recording")
    except UserError as error:
        parser.epilog = f"options of audio are missing: {error}"


def has_standard_output(values: Mapping[str, Any]) -> bool:
    """Return whether a sink writes to standard output, or nothing can: an option of its own is `-`, or it is closed.

    Raises:
        UserError: Several do.
    """
    options = [option for _, plugin in SINKS.items() for option in plugin.options]
    taken = [option.flag for option in options if values.get(option.name) == "-"]
    if len(taken) > 1:
        raise UserError(f"{' and '.join(taken)}: only one can write to standard output")
    return bool(taken) or sys.stdout is None


_REPEAT = 0.3
"""Seconds within which the same signal is one: a terminal and a parent process often send it both."""


@contextlib.contextmanager
def stopped_by_signals(
    control: "Control", reopen: Callable[[], None] = lambda: None
) -> Iterator[None]:
    """End the conversation properly at the first SIGINT, SIGTERM or SIGHUP, at once at the second.

    Args:
        control: What is stopped.
        reopen: Called at SIGHUP instead where there is no terminal: files are to be opened again.
    """
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    first = 0.0

    def ask(reason: str) -> None:
        nonlocal first
        if control.stopped is None:
            first = loop.time()
            control.stop(reason)
        elif task and loop.time() - first > _REPEAT:
            task.cancel()

    signals: dict[int, Callable[[], None]] = {
        signal.SIGINT: partial(ask, "interrupted"),
        signal.SIGTERM: partial(ask, "terminated"),
    }
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup wants it
        signals[signal.SIGHUP] = partial(ask, "hangup") if _has_terminal() else reopen
    for number, handler in signals.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def reopen_all(sinks: "Sequence[Sink]") -> None:
    """Let the sinks that write files open them again: the old ones were moved away."""
    for sink in sinks:
        if reopen := getattr(sink, "reopen", None):
            reopen()


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def exit_code(outcome: "Outcome") -> int:
    """Return the exit code for how a conversation ended; a lost output counts as a failure."""
    if outcome.lost_sinks or outcome.reason == "failed":
        return FAILED
    return OK if outcome.reason == "finished" else INTERRUPTED

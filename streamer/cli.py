"""The command line: thin commands, one module each in `streamer.commands`."""

import argparse
import asyncio
import contextlib
import io
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from streamer import __version__
from streamer.commands import FAILED, INTERRUPTED, OK, WRONG
from streamer.commands.logs import TEXT, say
from streamer.commands.parser import Parser, refuse_empty
from streamer.errors import UserError
from streamer.process import one_thread_of_numpy
from streamer.registry import missing
from streamer.text import printable

COMMANDS = (
    *(
        "replay",
        "listen",
        "serve",
        "send",
        "archive",
        "devices",
        "watch",
        "mqtt",
        "report",
        "export",
    ),
    *("config", "schema", "doctor", "models", "voices"),
)
"""Each is a module with `add_parser(subparsers)`; its parser sets `run`, which gives the exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `streamer.commands`).

    Args:
        arguments: of the command line; None if this is the whole program: then it ends here.
    """
    if arguments is None:
        _open_standard_streams()
        one_thread_of_numpy()
    try:
        code = _run(arguments)
    except (KeyboardInterrupt, asyncio.CancelledError):  # a second signal, or one before a session
        code = INTERRUPTED
    if arguments is None:
        _leave(code)
    return code


def _run(arguments: Sequence[str] | None) -> int:
    try:
        if wrong := refuse_empty(sys.argv[1:] if arguments is None else arguments):
            raise UserError(wrong)  # noqa: TRY301 - as whatever else is wrong with the command line
        options = _parser().parse_args(arguments)
    except UserError as error:
        print(f"streamer: {error}", file=sys.stderr)  # noqa: T201 - this is the terminal's program
        return WRONG
    return _execute(options)


def _execute(options: argparse.Namespace) -> int:
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if options.debug else logging.WARNING,
        format=TEXT,
    )
    try:
        code: int = options.run(options)
        if sys.stdout:
            sys.stdout.flush()
    except UserError as error:
        if options.debug:
            raise
        say(str(error), logging.ERROR)
        return WRONG
    except BrokenPipeError:
        # The reader of the output has gone: say nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        if options.debug:
            raise
        line, code = _explain(error)
        say(line, logging.ERROR)
    return code


def _explain(error: Exception) -> tuple[str, int]:
    """Give a line about an error that nothing expected, and the exit code."""
    if isinstance(error, OSError) and error.filename is not None:
        reason = (error.strerror or "no access").lower()
        return f"{printable(str(error.filename)[:200])}: {reason}", WRONG
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("streamer"):
        return missing(error), WRONG
    message = printable(" ".join(str(error).split())[:300]) or type(error).__name__
    return f"unexpected: {message} (--debug shows where)", FAILED


def _open_standard_streams() -> None:
    """Make sure that no other file takes the place of a standard stream that is closed, and that all text can be shown.

    A closed standard output cannot be written to, as in any other program; a closed standard input is empty.
    """
    for descriptor, flags in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, flags)  # takes the lowest number that is free: this one
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123 - until the process ends
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace" if stream is sys.stdout else "backslashreplace")


def _leave(code: int) -> NoReturn:
    """End the process at once: all that was opened has been closed.

    Python would wait for a recogniser that is in the middle of an utterance, which cannot be broken off,
    and then take apart, for a second, what dies with the process anyway.
    """
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):  # its reader has gone
            if stream:
                stream.flush()
    os._exit(code)


def _parser() -> Parser:
    parser = Parser(
        prog="streamer",
        description="Which emotion each utterance of a conversation expresses, while the talk goes on.",
    )
    parser.add_argument("--version", action="version", version=f"streamer {__version__}")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--debug", action="store_true", help="log everything; show tracebacks")
    subparsers = parser.add_subparsers(metavar="COMMAND", required=True, title="commands")
    for name in COMMANDS:
        import_module(f"streamer.commands.{name}").add_parser(subparsers, [shared])
    return parser


if __name__ == "__main__":
    sys.exit(main())

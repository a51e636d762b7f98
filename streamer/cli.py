"""The command line: thin commands, one module each in `streamer.commands`."""

import argparse
import gc
import logging
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

from streamer import __version__
from streamer.commands import FAILED, INTERRUPTED, OK, WRONG
from streamer.errors import UserError

COMMANDS = ("replay", "listen", "devices", "watch", "mqtt", "config", "schema", "doctor")
"""Each is a module with `add_parser(subparsers)`; its parser sets `run`, which gives the exit code."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code (see `streamer.commands`)."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(
        stream=sys.stderr,
        level=logging.DEBUG if options.debug else logging.WARNING,
        format="streamer: %(levelname)s: %(message)s",
    )
    try:
        code: int = options.run(options)
        sys.stdout.flush()
    except UserError as error:
        if options.debug:
            raise
        print(f"streamer: {error}", file=sys.stderr)  # noqa: T201 - this is the terminal's program
        return WRONG
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output has had enough: say nothing more, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OK
    except Exception as error:
        if options.debug:
            raise
        message = " ".join(str(error).split()) or type(error).__name__
        print(  # noqa: T201
            f"streamer: unexpected: {message} (--debug shows where)", file=sys.stderr
        )
        return FAILED
    gc.freeze()  # what is left dies with the process; looking for garbage in it takes a second
    return code


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong with the command line."""

    def error(self, message: str) -> NoReturn:
        self.exit(WRONG, f"{self.prog}: {message} (--help explains)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
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

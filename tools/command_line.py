"""One program with several commands, each of which is one module that is imported only when it is called.

A command's module has `add_arguments(parser)` and `run(arguments)`; its docstring stands in the help.
"""

import argparse
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any

from streamer.errors import UserError
from streamer.process import one_thread_of_numpy
from streamer.settings import load as configuration


def dispatch(
    program: str,
    description: str,
    commands: Mapping[str, tuple[str, str]],
    argv: Sequence[str] | None = None,
) -> int:
    """Run the command that the arguments name.

    Args:
        program: As typed, for the usage line.
        description: What the commands have in common.
        commands: name -> (module, one line of help).
        argv: The arguments; those of the process by default.

    Returns:
        The exit code: 0 done, 2 a mistake of the user's (said in one line on stderr), 130 interrupted.
    """
    one_thread_of_numpy()  # what imports numpy is imported below
    arguments = list(sys.argv[1:] if argv is None else argv)
    parser = argparse.ArgumentParser(program, description=description)
    subparsers = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (module, summary) in commands.items():
        subparser = subparsers.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name in arguments[:1]:
            chosen = import_module(module)
            subparser.description = chosen.__doc__ or summary
            chosen.add_arguments(subparser)
    parsed = parser.parse_args(arguments)
    try:
        import_module(commands[parsed.command][0]).run(parsed)
    except UserError as error:
        print(f"{program} {parsed.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"{program} {parsed.command}: interrupted", file=sys.stderr)
        return 130
    return 0


def add_set(parser: argparse.ArgumentParser) -> None:
    """Declare the option that sets any setting of the program."""
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="a setting of streamer, e.g. asr.model=tiny.en; may be repeated",
    )


def overrides_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return what `--set` says, by dotted path.

    Raises:
        UserError: An assignment is none.
    """
    overrides = {}
    for assignment in arguments.set:
        key, equals, value = assignment.partition("=")
        if not equals or not key:
            raise UserError(f"--set {assignment}: expected KEY=VALUE, e.g. asr.model=tiny.en")
        overrides[key] = configuration.scalar(f"--set {key}", value)
    return overrides

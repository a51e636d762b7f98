"""`streamer schema`: the wire, for programs."""

import argparse
import json

from streamer.commands import Subparsers


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "schema",
        parents=parents,
        help="print the JSON Schema of the events",
        description="Print the JSON Schema (2020-12) of an event.",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - all commands have this shape
    """Print the schema on standard output."""
    from streamer import events

    print(json.dumps(events.json_schema(), indent=2))
    return 0

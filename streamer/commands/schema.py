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
    parser.add_argument(
        "--asyncapi", action="store_true", help="print the MQTT topics, as an AsyncAPI 3 document"
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the schema on standard output."""
    if options.asyncapi:
        from streamer.mqtt.asyncapi import asyncapi

        document = asyncapi()
    else:
        from streamer import events

        document = events.json_schema()
    print(json.dumps(document, indent=2))
    return 0

"""`streamer devices`: the microphones of this machine."""

import argparse
import json
from typing import TYPE_CHECKING

from streamer.commands import Subparsers

if TYPE_CHECKING:
    from streamer.sources.microphone.devices import Device


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "devices",
        parents=parents,
        help="list the microphones of this machine",
        description="List the devices that `streamer listen --device` can listen to.",
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the list on standard output."""
    from streamer.commands.terminal import without_noise
    from streamer.sources.microphone import devices

    with without_noise(debug=options.debug):
        found = devices.inputs()
    if options.json:
        print(json.dumps([device.as_dict() for device in found], indent=2))
    else:
        _show(found)
    return 0


def _show(found: "list[Device]") -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    if not found:
        console.print("no microphone was found: plug one in")
        return
    table = Table("", "device", "driver", "channels", "rate", box=None, padding=(0, 2, 0, 0))
    for device in found:
        table.add_row(
            f"{'*' if device.default else ' '} {device.index}",
            device.name,
            device.host,
            str(device.channels),
            f"{device.rate} Hz",
        )
    console.print(table, width=None if console.is_terminal else 200)
    console.print("[dim]* is listened to if none is named[/]")

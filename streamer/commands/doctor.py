"""`streamer doctor`: what works on this machine, and what to do about the rest."""

import argparse
import json
from typing import TYPE_CHECKING

from streamer.commands import Subparsers, add_settings_options, load_settings

if TYPE_CHECKING:
    from streamer.commands.diagnosis import Finding

_MARKS = {"ok": ("ok", "green"), "limited": ("limited", "yellow"), "broken": ("broken", "red")}


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "doctor",
        parents=parents,
        help="say what works on this machine, and what to do about the rest",
        description="Say what works on this machine, and what to do about the rest. "
        "Exit code 1 if recordings cannot be analysed.",
    )
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Print the findings on standard output."""
    from streamer.commands import diagnosis

    findings = diagnosis.examine(load_settings(options))
    if options.json:
        print(json.dumps([finding.as_dict() for finding in findings], indent=2))
    else:
        _show(findings)
    return 1 if any(finding.state == "broken" for finding in findings) else 0


def _show(findings: "list[Finding]") -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    for finding in findings:
        mark, colour = _MARKS[finding.state]
        table.add_row(f"[{colour}]{mark}[/]", finding.part, finding.detail)
        if finding.remedy:
            table.add_row("", "", f"[dim]->[/] {finding.remedy}")
    console = Console(highlight=False)
    console.print(table, width=None if console.is_terminal else 200)

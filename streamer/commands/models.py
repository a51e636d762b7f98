"""`streamer models`: the Whisper models, where they are, and how to get them."""

import argparse
import json
from typing import TYPE_CHECKING, Any

from streamer.commands import OK, Subparsers
from streamer.errors import UserError

if TYPE_CHECKING:
    from streamer.transcription.whisper_models import ModelFiles

PULL_SECONDS = 20.0
"""How long the hub may take to answer when a download was asked for."""


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "models",
        parents=parents,
        help="list, fetch and locate Whisper models",
        description="List, fetch and locate the Whisper models that asr.model may name.",
    )
    actions = parser.add_subparsers(metavar="ACTION", required=True, title="actions")
    listing = actions.add_parser(
        "list",
        parents=parents,
        help="which models are on this machine",
        description="List the models: languages, size, where they are, and which one auto takes.",
    )
    listing.add_argument("--json", action="store_true", help="print the list as JSON")
    listing.set_defaults(run=_list)
    pull = actions.add_parser(
        "pull",
        parents=parents,
        help="download a model into the cache",
        description="Download a model from the Hugging Face hub into its cache.",
    )
    pull.add_argument("model", help="a name of the list, or a repository of the Hugging Face hub")
    pull.set_defaults(run=_pull)
    path = actions.add_parser(
        "path",
        parents=parents,
        help="print where a model's weights are",
        description="Print the directory of a model's weights.",
    )
    path.add_argument("model", nargs="?", default="auto", help="default: the one in use (auto)")
    path.set_defaults(run=_path)


def _list(options: argparse.Namespace) -> int:
    from streamer.transcription import whisper_models

    used = whisper_models.find(whisper_models.AUTO)
    rows = [_row(entry, used) for entry in whisper_models.known()]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        _show(rows)
    return OK


def _row(entry: "ModelFiles | str", used: "ModelFiles | None") -> dict[str, Any]:
    name = entry if isinstance(entry, str) else entry.name
    row: dict[str, Any] = {
        "model": name,
        "languages": "English" if name.endswith(".en") else "many",
        "auto": used is not None and name == used.name,
        "origin": None,
        "megabytes": None,
        "directory": None,
    }
    if not isinstance(entry, str):
        row |= {
            "origin": entry.origin,
            "megabytes": round(entry.megabytes()),
            "directory": str(entry.directory),
        }
    return row


def _show(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("", "model", "languages", "MB", "from", box=None, padding=(0, 2, 0, 0))
    for row in rows:
        mark = "*" if row["auto"] else ""
        size = str(row["megabytes"] or "")
        table.add_row(mark, row["model"], row["languages"], size, row["origin"] or "-")
    console = Console(highlight=False)
    console.print(table)
    console.print("[dim]* is what asr.model: auto takes for English[/]")


def _pull(options: argparse.Namespace) -> int:
    from streamer.transcription import whisper_models

    files = whisper_models.obtain(options.model, wait=PULL_SECONDS)
    print(files.directory)
    return OK


def _path(options: argparse.Namespace) -> int:
    from streamer.transcription import whisper_models

    files = whisper_models.find(options.model)
    if files is None:
        name = whisper_models.wanted(options.model, language="en")
        raise UserError(f"whisper model {name}: not on this machine; {whisper_models.advice(name)}")
    print(files.directory)
    return OK

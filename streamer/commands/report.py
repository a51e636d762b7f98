"""`streamer report`: a page of figures, timeline and transcript from stored events."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.commands import OK, Subparsers
from streamer.errors import UserError

if TYPE_CHECKING:
    from streamer.event_files import Recorded


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "report",
        parents=parents,
        help="make a page from stored events",
        description="Make a self-contained HTML page from stored events: figures, timeline, moods, "
        "transcript. A folder gets a page for each conversation, and an index of all.",
    )
    parser.add_argument(
        "events",
        nargs="+",
        type=Path,
        metavar="EVENTS.jsonl",
        help="events, as --jsonl writes them",
    )
    parser.add_argument(
        "--out", required=True, metavar="FILE.html|FOLDER/", help="the page, or a folder of pages"
    )
    parser.add_argument("--session", metavar="ID", help="only this conversation of the files")
    parser.add_argument(
        "--audio",
        type=Path,
        metavar="FILE",
        help="embed the recording, so that turns can be played",
    )
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the page or the folder of pages, and print where it is."""
    from streamer import event_files
    from streamer.files import write_atomically
    from streamer.sinks.report import check_target
    from streamer.sinks.report.folder import is_folder, page_name, write_index

    recorded = event_files.chosen(event_files.read(options.events), options.session)
    folder = is_folder(options.out)
    if len(recorded) > 1 and not folder:
        raise UserError(
            f"{len(recorded)} conversations ({event_files.names(recorded)}): choose one with --session,"
            " or give --out a folder"
        )
    if len(recorded) > 1 and options.audio:
        raise UserError("--audio belongs to one conversation; choose it with --session")
    out = Path(options.out)
    check_target(out if folder else out.parent)
    try:
        for each, name in zip(recorded, event_files.distinct(recorded), strict=True):
            page = out / page_name(name) if folder else out
            write_atomically(page, _render(each, options.audio))
        print(write_index(out) if folder else out)
    except OSError as error:
        raise UserError(f"{options.out}: {(error.strerror or 'no access').lower()}") from None
    return OK


def _render(recorded: "Recorded", audio: Path | None) -> str:
    from streamer.sinks.report.page import report

    notes = []
    if recorded.unreadable:
        notes.append(f"{recorded.unreadable} lines of {recorded.file} could not be read.")
    if not recorded.complete:
        notes.append("The end of the conversation is missing: the figures go as far as the events.")
    source = None
    if audio:
        from streamer.sinks.report.audio import embedded

        source = embedded(audio)
    return report(recorded.events, audio=source, notes=notes)

"""`streamer export`: stored events in the formats of other programs."""

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.commands import OK, Subparsers
from streamer.errors import UserError

if TYPE_CHECKING:
    from streamer.sinks.exports import Conversation, Format

FORMATS = ("csv", "parquet", "vtt", "srt", "rttm", "textgrid", "eaf", "emotionml", "aws")


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "export",
        parents=parents,
        help="write stored events in another format",
        description="Write stored events as a table (csv, parquet; several conversations share it), "
        "subtitles (vtt, srt), annotation (rttm, textgrid, eaf, emotionml) or Amazon Transcribe "
        "Call Analytics' JSON (aws).",
    )
    parser.add_argument(
        "events",
        nargs="+",
        type=Path,
        metavar="EVENTS.jsonl",
        help="events, as --jsonl writes them",
    )
    parser.add_argument("--format", required=True, choices=FORMATS, help="what to write")
    parser.add_argument(
        "--out",
        default="-",
        metavar="FILE|FOLDER/",
        help="a file, a folder for a file each, or - for standard output (default)",
    )
    parser.add_argument("--session", metavar="ID", help="only this conversation of the files")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Write the files."""
    from streamer import event_files
    from streamer.sinks import exports

    recorded = event_files.chosen(event_files.read(options.events), options.session)
    incomplete = [each for each in recorded if each.unreadable]
    for file in dict.fromkeys(each.file for each in incomplete):
        count = next(each.unreadable for each in incomplete if each.file == file)
        print(f"streamer: {file}: skipped {count} lines that are no events", file=sys.stderr)
    kind = exports.FORMATS[options.format]
    conversations = [exports.conversation(each.name, each.events) for each in recorded]
    folder = options.out.endswith("/") or Path(options.out).is_dir()
    if folder:
        for each, name in zip(conversations, event_files.distinct(recorded), strict=True):
            safe = "".join(c if c.isalnum() or c in "._-" else "_" for c in name)[:150]
            _write(str(Path(options.out) / f"{safe}{kind.suffix}"), kind, [each])
    elif len(conversations) > 1 and kind.table is None:
        raise UserError(
            f"{len(recorded)} conversations ({event_files.names(recorded)}): choose one with --session,"
            " or give --out a folder"
        )
    else:
        _write(options.out, kind, conversations)
    return OK


def _write(out: str, kind: "Format", conversations: "list[Conversation]") -> None:
    written = kind.write(conversations)
    if out == "-":
        sys.stdout.buffer.write(written)
        return
    path = Path(out)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(written)
    except OSError as error:
        raise UserError(f"{out}: {(error.strerror or 'no access').lower()}") from None

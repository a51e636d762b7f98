"""`streamer archive`: analyse many recorded calls, each once."""

import argparse
import signal
from typing import TYPE_CHECKING

from streamer.commands import (
    FAILED,
    INTERRUPTED,
    OK,
    Subparsers,
    add_settings_options,
    load_settings,
)
from streamer.commands.outputs import notify
from streamer.errors import UserError

if TYPE_CHECKING:
    from streamer.archive.run import Report

_MAX_JOBS = 4096


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "archive",
        parents=parents,
        help="analyse many recorded calls, and only those not done yet",
        description="Analyse recorded calls into a folder: events/NAME.jsonl for each, tables of all "
        "utterances and summaries (Parquet), and a ledger. Run again, it does what is missing: new calls, those "
        "that an interruption left out, and all that a changed bundle or setting touches.",
    )
    parser.add_argument(
        "sources",
        nargs="+",
        metavar="SOURCE",
        help="file, folder, glob, @LIST (one source a line), or a URL: s3://, gs://, ...",
    )
    parser.add_argument("--out", required=True, metavar="DIR", help="target folder")
    parser.add_argument(
        "--engine",
        default="local",
        metavar="local|ray",
        help="where calls are analysed: processes of this machine (default), or a Ray cluster (RAY_ADDRESS)",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        default=0,
        metavar="N",
        help="calls at the same time (default: one for each core)",
    )
    parser.add_argument(
        "--report", action="store_true", help="also a page for each call, and an index"
    )
    parser.add_argument("--compress", action="store_true", help="event files as .jsonl.zst")
    parser.add_argument(
        "--retry-failed", action="store_true", help="try calls again that failed or were set aside"
    )
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Analyse what is missing; give the exit code."""
    from streamer.archive import run as archive
    from streamer.archive.analysis import REPORTS, Target
    from streamer.archive.engines import ENGINES
    from streamer.archive.plan import plan
    from streamer.archive.progress import ArchiveProgress

    if not 0 <= options.jobs <= _MAX_JOBS:
        raise UserError(f"--jobs {options.jobs}: expected 1 to {_MAX_JOBS}")
    settings = load_settings(options)
    engine = ENGINES.find(options.engine)(options.jobs)
    target = Target(archive.target_folder(options.out).absolute(), options.compress, options.report)
    jobs = plan(options.sources)
    for number in (signal.SIGINT, signal.SIGTERM):
        # A background job of a shell ignores SIGINT otherwise.
        signal.signal(number, signal.default_int_handler)
    with ArchiveProgress() as progress:
        done = archive.run(
            jobs,
            engine,
            settings,
            target,
            retry_failed=options.retry_failed,
            begin=progress.begin,
            show=progress.take,
            say=notify,
        )
    if options.report and (target.folder / REPORTS).is_dir():
        from streamer.sinks.report.folder import write_index

        write_index(target.folder / REPORTS)
    _print(done)
    if done.interrupted:
        return INTERRUPTED
    return FAILED if done.failed or done.set_aside or done.failed_before else OK


def _print(report: "Report") -> None:
    parts = [f"{report.planned} calls", f"{report.done} analysed", f"{report.skipped} done before"]
    parts += [f"{report.failed} failed"] if report.failed else []
    parts += [f"{report.set_aside} set aside"] if report.set_aside else []
    if report.failed_before:
        parts.append(f"{report.failed_before} failed before (--retry-failed tries them again)")
    print(", ".join(parts))

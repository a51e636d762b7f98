"""What the commands that analyse conversations share: where events go, signals, exit codes."""

import argparse
import asyncio
import contextlib
import signal
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from streamer.commands import FAILED, INTERRUPTED, OK
from streamer.errors import UserError

if TYPE_CHECKING:
    from streamer.control import Control, LiveStatus
    from streamer.settings.tree import Settings
    from streamer.sinks import Sink


def add_output_options(parser: argparse.ArgumentParser) -> None:
    """Add the options that say what conversations are called and where their events go."""
    parser.add_argument(
        "--channels",
        type=lambda names: tuple(name.strip() for name in names.split(",")),
        metavar="NAME,NAME",
        help="who speaks on each channel",
    )
    parser.add_argument("--session", metavar="ID", help="the session's id (default: made up)")
    parser.add_argument(
        "--jsonl",
        metavar="FILE",
        help="append events as JSON lines; - for standard output, FOLDER/ for a file each",
    )
    parser.add_argument(
        "--mqtt",
        metavar="URL",
        help="publish events: mqtt[s]://[USER@]HOST[:PORT][/PREFIX]",
    )
    parser.add_argument("--quiet", action="store_true", help="show no table")


def notify(line: str) -> None:
    """Tell the user something on stderr, once."""
    print(f"streamer: {line}", file=sys.stderr)


def sinks(
    settings: "Settings",
    *,
    jsonl: str | None,
    mqtt: str | None,
    table: bool,
    control: "Control | None" = None,
    status: "LiveStatus | None" = None,
) -> "list[Sink]":
    """The sinks of one conversation.

    Args:
        settings: all settings.
        jsonl: a file for JSON lines, - for standard output, None for neither.
        mqtt: a broker's URL instead of the settings' one.
        table: whether people look at standard output.
        control: of a live conversation, which commands over MQTT steer.
        status: of a live conversation, which the table shows.
    """
    from streamer.sinks.console import ConsoleSink
    from streamer.sinks.jsonl import JsonlSink
    from streamer.sinks.systemd import SystemdSink, is_service

    chosen: list[Sink] = []
    if jsonl:
        chosen.append(JsonlSink(None if jsonl == "-" else Path(jsonl)))
    if mqtt or settings.mqtt.url:
        from streamer.mqtt import mqtt_sink

        chosen.append(mqtt_sink(settings, mqtt, control))
    if control and is_service():
        chosen.append(SystemdSink())
    if table:
        chosen.append(ConsoleSink(status=status))
    return chosen


def event_files(jsonl: str | None, recordings: Sequence[str]) -> list[str | None]:
    """Where each recording's events go: all to one file, or each to its own if `jsonl` is a folder."""
    if jsonl is None or jsonl == "-" or not (jsonl.endswith("/") or Path(jsonl).is_dir()):
        return [jsonl] * len(recordings)
    folder = Path(jsonl)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(f"{folder}: {(error.strerror or 'no access').lower()}") from None
    names = Counter[str]()
    files: list[str | None] = []
    for recording in recordings:
        stem = "stdin" if recording == "-" else Path(recording).stem
        names[stem] += 1
        suffix = f"-{names[stem]}" if names[stem] > 1 else ""
        files.append(str(folder / f"{stem}{suffix}.jsonl"))
    return files


@contextlib.contextmanager
def stopped_by_signals(control: "Control") -> Iterator[None]:
    """End the conversation properly at the first SIGINT or SIGTERM, at once at the second."""
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()

    def ask(reason: str) -> None:
        if control.stopped is None:
            control.stop(reason)
        elif task:
            task.cancel()

    signals = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated"}
    for number, reason in signals.items():
        loop.add_signal_handler(number, ask, reason)
    try:
        yield
    finally:
        for number in signals:
            loop.remove_signal_handler(number)


def exit_code(reason: str) -> int:
    """The exit code for how a conversation ended."""
    return {"finished": OK, "failed": FAILED}.get(reason, INTERRUPTED)

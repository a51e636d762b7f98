"""`streamer send`: have a server analyse a recording, and show what it says."""

import argparse
import asyncio
from contextlib import AsyncExitStack, aclosing
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from streamer.commands import (
    FAILED,
    INTERRUPTED,
    OK,
    Subparsers,
    load_settings,
)
from streamer.commands.outputs import (
    add_conversation_options,
    has_standard_output,
    notify,
    stopped_by_signals,
)
from streamer.commands.replay import speed
from streamer.errors import SourceError, UserError
from streamer.registry import SinkContext, SourceContext, whole_number

if TYPE_CHECKING:
    from streamer.settings.tree import Settings
    from streamer.web.client import Server


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "send",
        parents=parents,
        help="have a server analyse a recording",
        description="Send a recording to `streamer serve` and show its events. The token comes from "
        "STREAMER_WEB_TOKEN, --token-file or web.token.file. After a lost connection the conversation goes on.",
    )
    parser.add_argument("file", metavar="FILE", help="recording (wav, mp3, flac, ogg, m4a, ...)")
    parser.add_argument(
        "--to", required=True, metavar="URL", help="the server: ws[s]://HOST[:PORT][/ws]"
    )
    parser.add_argument(
        "--token-file", metavar="FILE", type=Path, help="file that holds the server's token"
    )
    parser.add_argument(
        "--speed",
        type=speed,
        default=1.0,
        metavar="1|4|max",
        help="times the speed of the recording (default 1: a live conversation), or max",
    )
    parser.add_argument(
        "--max-wait",
        type=whole_number(0, 86_400, "seconds"),
        default=60,
        metavar="SECONDS",
        help="give up after so long without a connection (default %(default)s)",
    )
    add_conversation_options(parser, "send")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Send the recording; give the exit code."""
    token = {"file": str(options.token_file)} if options.token_file else None
    settings = load_settings(options, audio__channels=options.channels, web__token=token)
    return asyncio.run(_send(options, settings, _server(options, settings)))


def _server(options: argparse.Namespace, settings: "Settings") -> "Server":
    """Check the address, and find the token.

    Raises:
        UserError: if the address is malformed, or the token cannot be read.
    """
    from streamer.web.access import read_token
    from streamer.web.client import Server

    try:
        parts = urlsplit(options.to)
        well_formed = parts.scheme in ("ws", "wss") and parts.hostname and parts.port != 0
    except ValueError:
        well_formed = False
    if not well_formed:
        raise UserError("--to: expected ws[s]://HOST[:PORT][/ws]")
    if parts.query or parts.username or parts.password:
        raise UserError("--to: a token belongs into STREAMER_WEB_TOKEN or --token-file, not here")
    path = parts.path if parts.path not in ("", "/") else "/ws"
    url = f"{parts.scheme}://{parts.netloc}{path}"
    return Server(url, read_token(settings.web), float(options.max_wait))


async def _send(options: argparse.Namespace, settings: "Settings", server: "Server") -> int:
    from streamer import api
    from streamer.clock import VirtualClock, WallClock
    from streamer.control import Control
    from streamer.events import SessionEnded
    from streamer.web.client import LostError, send

    values = vars(options)
    clock = VirtualClock() if options.speed is None else WallClock()
    context = SourceContext(settings.audio, clock, speed=options.speed or 1.0)
    table = not options.quiet and not has_standard_output(values)
    control, failed = Control(), False
    async with AsyncExitStack() as stack:
        stack.enter_context(stopped_by_signals(control))
        source = await stack.enter_async_context(api.make_source(options.file, context, values))
        sinks = api.make_sinks(SinkContext(settings, table=table), values, "send")
        for sink in sinks:
            await stack.enter_async_context(sink)
        found = send(
            source,
            server,
            live=options.speed == 1.0,
            session=options.session,
            control=control,
            notify=notify,
        )
        try:
            async with aclosing(found):
                async for event in found:
                    failed = isinstance(event, SessionEnded) and event.reason == "failed"
                    for sink in sinks:
                        await sink.emit(event)
        except (LostError, SourceError) as error:
            notify(str(error))
            return FAILED
    if failed:
        return FAILED
    return OK if control.stopped is None else INTERRUPTED

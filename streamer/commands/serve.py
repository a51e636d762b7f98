"""`streamer serve`: analyse conversations that arrive over the network."""

import argparse
import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

from streamer.commands import OK, Subparsers, add_settings_options, load_settings
from streamer.commands.outputs import add_plugin_options, notify
from streamer.errors import UserError
from streamer.process import exempt_from_collection, one_thread_per_computation
from streamer.registry import SinkContext

if TYPE_CHECKING:
    from collections.abc import Iterator

    from streamer.api import Engine
    from streamer.control import Control, LiveStatus
    from streamer.mqtt.address import Broker
    from streamer.mqtt.settings import Mqtt
    from streamer.sinks import Sink
    from streamer.web.server import Address


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "serve",
        parents=parents,
        help="analyse conversations that arrive over the network",
        description="Serve a dashboard at /, take audio and send events at /ws. On loopback unless --host "
        "names another address; then a token is needed (web.token.file, or STREAMER_WEB_TOKEN).",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default %(default)s)"
    )
    parser.add_argument(
        "--port", type=_port, default=8765, help="port to listen on (default %(default)s; 0: any)"
    )
    parser.add_argument(
        "--audiosocket",
        metavar="HOST:PORT",
        help="also take calls from Asterisk (AudioSocket) on this loopback address",
    )
    parser.add_argument(
        "--wyoming",
        metavar="tcp://HOST:PORT",
        help="also serve voice assistants (Wyoming) on this loopback address",
    )
    parser.add_argument(
        "--fleet",
        action="store_true",
        help="show all nodes of the broker (--mqtt, or mqtt.url) on the page, too",
    )
    parser.later(lambda: add_plugin_options(parser, "serve"))
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Serve until interrupted; give the exit code."""
    from streamer.api import Engine

    settings = load_settings(options)
    one_thread_per_computation()
    with Engine.load(settings, notify, processes=True) as engine:
        exempt_from_collection()
        asyncio.run(_serve(options, engine))
    return OK


async def _serve(options: argparse.Namespace, engine: "Engine") -> None:
    from streamer import api
    from streamer.sinks.systemd import Systemd
    from streamer.web.server import Address, serve

    values: dict[str, Any] = vars(options)
    settings = engine.settings

    def further(control: "Control", status: "LiveStatus") -> "list[Sink]":
        context = SinkContext(settings, control, status, table=False)
        return api.make_sinks(context, values, "serve")

    def ready(url: str) -> None:
        notify(f"listening on {url}")
        systemd.tell("READY=1", f"STATUS=listening on {url}")

    async with Systemd() as systemd:
        with _signals() as stopped:
            await serve(
                engine,
                settings.web,
                Address(options.host, options.port),
                further,
                stopped,
                ready,
                audiosocket=_address(options.audiosocket, "--audiosocket"),
                wyoming=_address(options.wyoming, "--wyoming"),
                fleet=_broker(options, settings.mqtt) if options.fleet else None,
            )
            systemd.tell("STOPPING=1")


def _broker(options: argparse.Namespace, mqtt: "Mqtt") -> "Broker":
    """Find the broker whose nodes are shown.

    Raises:
        UserError: if none is named, or it cannot be used.
    """
    from streamer.mqtt.address import broker

    if not (options.mqtt or mqtt.url):
        raise UserError("--fleet: no broker; give --mqtt mqtt://HOST, or set mqtt.url")
    return broker(mqtt, options.mqtt)


def _address(text: str | None, option: str) -> "Address | None":
    """Parse HOST:PORT, with tcp:// before it or not.

    Raises:
        UserError: if it is malformed.
    """
    from streamer.web.server import Address

    if text is None:
        return None
    host, _, port = text.removeprefix("tcp://").rpartition(":")
    if not host or not port.isdigit() or not 1 <= int(port) <= 65_535:
        raise UserError(f"{option} {text[:100]}: expected HOST:PORT")
    return Address(host.strip("[]"), int(port))


@contextlib.contextmanager
def _signals() -> "Iterator[asyncio.Future[None]]":
    """Give a future that is done at the first SIGINT, SIGTERM or SIGHUP."""
    loop = asyncio.get_running_loop()
    stopped = loop.create_future()

    def stop() -> None:
        if not stopped.done():
            stopped.set_result(None)

    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop)
    try:
        yield stopped
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _port(text: str) -> int:
    port = int(text)
    if not 0 <= port <= 65_535:
        raise argparse.ArgumentTypeError(f"{text}: expected 0 to 65535")
    return port

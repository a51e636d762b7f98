"""`streamer watch`: show events received over MQTT."""

import argparse
import asyncio
import json
import signal
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING

from streamer.commands import Subparsers, add_settings_options, load_settings
from streamer.commands.outputs import notify
from streamer.text import printable

if TYPE_CHECKING:
    from streamer import events
    from streamer.mqtt.items import Item, RetainedState
    from streamer.settings.tree import Settings
    from streamer.sinks.console import ConsoleSink


def add_parser(subparsers: Subparsers, parents: list[argparse.ArgumentParser]) -> None:
    """Add the command."""
    parser = subparsers.add_parser(
        "watch",
        parents=parents,
        help="show events received over MQTT",
        description="Subscribe over MQTT and show events, until interrupted. "
        "The password comes from STREAMER_MQTT_PASSWORD or mqtt.password.file.",
    )
    parser.add_argument(
        "--mqtt",
        metavar="URL",
        help="broker: mqtt[s]:// or ws[s]://[USER@]HOST[:PORT][/PREFIX] (default: mqtt.url)",
    )
    parser.add_argument("--session", metavar="ID", help="only this conversation")
    parser.add_argument("--node", metavar="NAME", help="only this publisher")
    parser.add_argument("--json", action="store_true", help="print events as JSON lines")
    parser.add_argument(
        "--fleet",
        action="store_true",
        help="a table of all nodes: condition, channels, lag, shed audio, version, last seen",
    )
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Watch until interrupted."""
    from streamer.errors import UserError

    settings = load_settings(options)
    if not (options.mqtt or settings.mqtt.url):
        raise UserError("no broker: give --mqtt mqtt://HOST, or set mqtt.url")
    if options.fleet and (options.session or options.node):
        raise UserError("--fleet cannot be combined with --session or --node")
    try:
        asyncio.run(_watch(options, settings))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    return 0


async def _watch(options: argparse.Namespace, settings: "Settings") -> None:
    from streamer.commands.fleet import watch_fleet
    from streamer.mqtt.subscriber import follow
    from streamer.sinks.console import ConsoleSink

    task = asyncio.current_task()
    if task:  # a background job of a shell ignores SIGINT otherwise
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    if options.fleet:
        await watch_fleet(settings, options.mqtt, as_json=options.json)
        return
    async with AsyncExitStack() as stack:
        items = await stack.enter_async_context(
            aclosing(
                follow(options.mqtt, session=options.session, node=options.node, settings=settings)
            )
        )
        if options.json:
            async for item in items:
                _print(item)
        else:
            view = _View(await stack.enter_async_context(ConsoleSink()))
            async for item in items:
                await view.show(item)


def _print(item: "Item") -> None:
    from streamer.mqtt.items import ReceivedEvent

    if isinstance(item, ReceivedEvent):
        print(one_line(item.payload), flush=True)
    elif line := _line(item):
        notify(printable(line))


def one_line(payload: bytes) -> str:
    """Give a JSON payload as one line that no terminal takes for commands; unchanged if it already is."""
    text = payload.decode()
    return text if text.isprintable() else json.dumps(json.loads(text), separators=(",", ":"))


class _View:
    """The publisher's own table, from received events."""

    def __init__(self, console: "ConsoleSink") -> None:
        self._console = console
        self._sessions: set[str] = set()

    async def show(self, item: "Item") -> None:
        from streamer import events
        from streamer.clock import WallClock
        from streamer.mqtt.items import ReceivedEvent, RetainedState

        match item:
            case ReceivedEvent(event=event):
                self._sessions.add(event.session)
                await self._console.emit(event)
            case RetainedState() if item.state.session not in self._sessions:
                for event in _last_known(item):
                    await self._console.emit(event)
            case _:
                if line := _line(item):
                    await self._console.emit(
                        events.Error(
                            session="", seq=0, time=WallClock().now(), part="mqtt", message=line
                        )
                    )


def _last_known(item: "RetainedState") -> "list[events.Event]":
    """Return events equivalent to a speaker's retained state, for the beginning of the table."""
    from streamer import events

    state = item.state
    common = {
        "session": state.session,
        "seq": 0,
        "time": state.time,
        "channel": state.channel,
        "start": state.end,
        "end": state.end,
    }
    known: list[events.Event] = []
    if state.mood is not None:
        known.append(
            events.Mood(**common, probabilities=state.mood.probabilities, trend=state.mood.trend)
        )
    if state.speaking:
        known.append(events.SpeechStarted(**common, utterance=""))
    return known


def _line(item: "Item") -> str:
    """Return the message for an item that is not an event; empty if there is none."""
    from streamer.mqtt.items import Availability, ConnectionChange, MissingEvents

    match item:
        case MissingEvents():
            count = item.last - item.first + 1
            return f"{item.session}: {count} events missing ({item.first} to {item.last})"
        case Availability(value="offline" | "stopped"):
            return f"{item.node} is {item.value}"
        case ConnectionChange(problem=None):
            return "connected again"
        case ConnectionChange():
            return f"broker: {item.problem}; trying again"
    return ""

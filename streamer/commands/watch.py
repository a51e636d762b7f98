"""`streamer watch`: show what arrives over MQTT."""

import argparse
import asyncio
import signal
import sys
from contextlib import AsyncExitStack, aclosing
from typing import TYPE_CHECKING

from streamer.commands import Subparsers, add_settings_options, load_settings

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
        help="show what arrives over MQTT",
        description="Subscribe over MQTT and show what arrives, until interrupted. "
        "The password comes from STREAMER_MQTT_PASSWORD or mqtt.password_file.",
    )
    parser.add_argument(
        "--mqtt", metavar="URL", help="broker: mqtt[s]://[USER@]HOST[:PORT][/PREFIX]"
    )
    parser.add_argument("--session", metavar="ID", help="only this conversation")
    parser.add_argument("--node", metavar="NAME", help="only this publisher")
    parser.add_argument("--json", action="store_true", help="print events as JSON lines")
    add_settings_options(parser)
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Watch until interrupted."""
    from streamer.errors import UserError

    settings = load_settings(options)
    if not (options.mqtt or settings.mqtt.url):
        raise UserError("which broker? Say --mqtt mqtt://HOST, or set mqtt.url")
    try:
        asyncio.run(_watch(options, settings))
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None
    return 0


async def _watch(options: argparse.Namespace, settings: "Settings") -> None:
    from streamer.mqtt.subscriber import follow
    from streamer.sinks.console import ConsoleSink

    task = asyncio.current_task()
    if task:  # in the background of a shell, SIGINT would else be ignored
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
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
        print(item.payload.decode(), flush=True)
    elif line := _line(item):
        print(f"streamer: {line}", file=sys.stderr)


class _View:
    """The publisher's own table, from what arrives."""

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
    """The events that a speaker's retained state stands for, to begin the table with."""
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
    """What a person should hear of an item that is no event."""
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

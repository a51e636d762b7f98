"""Show a fleet of nodes in a table: `streamer watch --fleet`."""

import asyncio
import json
import sys
from collections import deque
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from streamer.clock import WallClock
from streamer.commands.outputs import notify
from streamer.mqtt.address import broker
from streamer.mqtt.fleet import URGENCY, Fleet, FleetNode, follow_fleet
from streamer.mqtt.items import ConnectionChange
from streamer.text import printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from streamer.settings.tree import Settings

SETTLING = 1.0
"""Seconds in which the retained messages come, before the first table there."""

PLAIN_INTERVAL = 10.0
"""Seconds between two tables where standard output is not a terminal."""

_COLOURS = {"offline": "red", "silent": "red", "lossy": "yellow", "busy": "green"}
_MINUTE, _HOUR, _DAY = 60, 3600, 86_400


async def watch_fleet(settings: "Settings", url: str | None, *, as_json: bool) -> None:
    """Show the nodes under a prefix until cancelled.

    Args:
        settings: all settings.
        url: broker and prefix, instead of the settings' one.
        as_json: print each change as a line of JSON instead of a table.

    Raises:
        UserError: if the broker is unreachable at the beginning, or refuses the client.
    """
    target = broker(settings.mqtt, url)
    fleet = Fleet(target.topics.prefix)
    async with aclosing(follow_fleet(target, fleet)) as changes:
        if as_json:
            async for change in changes:
                _print(change)
        else:
            await _show(fleet, changes)


def _print(change: FleetNode | ConnectionChange) -> None:
    if isinstance(change, ConnectionChange):
        notify(_connection(change))
    else:
        print(json.dumps(change.as_dict()), flush=True)


async def _show(fleet: Fleet, changes: Any) -> None:
    from rich.console import Console
    from rich.live import Live

    console = Console(highlight=False)
    if not console.is_terminal:
        printing = asyncio.create_task(_print_tables(fleet, console))
        try:
            async for change in changes:
                if isinstance(change, ConnectionChange):
                    notify(_connection(change))
        finally:
            printing.cancel()
        return
    lines: deque[str] = deque(maxlen=1)

    def present() -> "Table":
        return fleet_table(fleet, max(1, console.height - 6), lines[0] if lines else "")

    with Live(get_renderable=present, console=console, refresh_per_second=2, screen=True):
        async for change in changes:
            if isinstance(change, ConnectionChange):
                lines.append(_connection(change))


async def _print_tables(fleet: Fleet, console: "Console") -> None:
    await asyncio.sleep(SETTLING)
    while True:
        console.print(fleet_table(fleet, len(fleet.nodes)))
        sys.stdout.flush()
        await asyncio.sleep(PLAIN_INTERVAL)


def fleet_table(fleet: Fleet, room: int, note: str = "") -> "Table":
    """Make the table of a fleet, the most urgent nodes first.

    Args:
        fleet: the nodes.
        room: rows at most; the title counts the others.
        note: a line below.
    """
    from rich.table import Table
    from rich.text import Text

    clock = WallClock()
    now, wall = clock.seconds(), clock.now()
    counts = fleet.conditions()
    shown = ", ".join(f"{counts[each]} {each}" for each in URGENCY if each in counts)
    plural = "" if len(fleet.nodes) == 1 else "s"
    title = f"{len(fleet.nodes)} node{plural}: {shown}" if counts else "no nodes yet"
    table = Table(title=title, caption=Text(note) if note else None)
    for column in ("node", "condition", "conversation", "channels", "version"):
        table.add_column(column, no_wrap=True)
    for column in ("lag ms", "shed s", "lost s", "given up", "last seen"):
        table.add_column(column, justify="right", no_wrap=True)
    for node in fleet.most_urgent(room):
        state, condition = node.state, node.condition(now)
        seen = node.last_seen(now, wall)
        cells = (
            node.name[:40],
            condition,
            (state.session or "")[:40],
            ", ".join(state.channels)[:40],
            node.instance.version[:20] if node.instance else "",
            "" if state.lag_ms is None else f"{state.lag_ms:.0f}",
            f"{state.shed_audio:.1f}",
            f"{state.lost_audio:.1f}",
            str(state.given_up),
            "" if seen is None else _age(seen),
        )
        table.add_row(*(Text(printable(cell)) for cell in cells), style=_COLOURS.get(condition))
    return table


def _connection(change: ConnectionChange) -> str:
    if change.problem is None:
        return "connected again"
    return printable(f"broker: {change.problem}; trying again")


def _age(seconds: float) -> str:
    if seconds < _MINUTE:
        return f"{seconds:.0f} s"
    if seconds < _HOUR:
        return f"{seconds / _MINUTE:.0f} min"
    return f"{seconds / _HOUR:.0f} h" if seconds < 2 * _DAY else f"{seconds / _DAY:.0f} d"

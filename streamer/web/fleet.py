"""The nodes of a broker, for the dashboard."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from streamer.clock import WallClock, within
from streamer.errors import UserError
from streamer.mqtt.address import Broker
from streamer.mqtt.fleet import Fleet, FleetNode, follow_fleet
from streamer.mqtt.items import ConnectionChange

log = logging.getLogger(__name__)

_SHOWN = 200
"""Nodes that are sent, the most urgent first."""
_INTERVAL = 1.0
"""Seconds between two messages to a watcher at least."""
_LONGEST = 10.0
"""Seconds after which nodes are sent although nothing came: some may have fallen silent."""
_RETRY = 5.0
"""Seconds until a broker that was unreachable is tried again."""


class FleetWatcher:
    """Follows the nodes under a broker's prefix while its task runs.

    Args:
        broker: whose nodes.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._clock = WallClock()
        self._fleet = Fleet(broker.topics.prefix, self._clock)
        self._problem: str | None = "connecting"
        self._version = 0
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Follow the nodes until cancelled."""
        while True:
            try:
                async with aclosing(follow_fleet(self._broker, self._fleet)) as changes:
                    self._note(None)
                    async for change in changes:
                        if isinstance(change, ConnectionChange):
                            self._note(change.problem)
                        else:
                            self._notify()
            except UserError as error:
                self._note(str(error))
                log.warning("nodes of the broker: %s", error)
            await asyncio.sleep(_RETRY)

    def _note(self, problem: str | None) -> None:
        self._problem = problem
        self._notify()

    def _notify(self) -> None:
        self._version += 1
        self._changed.set()  # wakes all that wait now
        self._changed.clear()

    async def changes(self) -> AsyncIterator[dict[str, Any]]:
        """Yield the nodes now and whenever they have changed, at most once a second."""
        while True:
            shown = self._version
            yield self.snapshot()
            await asyncio.sleep(_INTERVAL)
            if shown == self._version:
                await within(_LONGEST, self._changed)

    def snapshot(self) -> dict[str, Any]:
        """Give the nodes as they are now, as a message."""
        return {
            "type": "fleet",
            "broker": str(self._broker),
            "problem": self._problem,
            "count": len(self._fleet.nodes),
            "conditions": self._fleet.conditions(),
            "nodes": [self._row(node) for node in self._fleet.most_urgent(_SHOWN)],
        }

    def _row(self, node: FleetNode) -> dict[str, Any]:
        now, wall = self._clock.seconds(), self._clock.now()
        seen = node.last_seen(now, wall)
        return {
            **node.as_dict(),
            "condition": node.condition(now),
            "seen": None if seen is None else round(seen),
        }

"""Follow a fleet: every node under a prefix, from what its retained topics say."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, get_args

from pydantic import ValidationError

from streamer.clock import Clock, WallClock
from streamer.mqtt.address import Broker
from streamer.mqtt.items import ConnectionChange
from streamer.mqtt.presence import OFFLINE, ONLINE, STOPPED, Instance
from streamer.mqtt.reader import Reading, read
from streamer.mqtt.state import NodeState

MAX_NODES = 100_000
"""Nodes that are remembered; topics of further ones are ignored."""

STALE = 60.0
"""Seconds without a message after which a node with a running conversation counts as silent."""

Condition = Literal["offline", "silent", "lossy", "busy", "idle", "stopped"]
URGENCY: tuple[Condition, ...] = get_args(Condition)
"""The conditions, the most urgent first."""


@dataclass(slots=True)
class FleetNode:
    """State of one node."""

    name: str
    availability: str = ""
    instance: Instance | None = None
    """The last process that published as the node."""
    state: NodeState = field(default_factory=NodeState)
    heard: float | None = None
    """When its last message that was not retained came, on the clock's seconds."""

    def condition(self, now: float) -> Condition:
        """Sum the node up; the most urgent condition counts.

        Args:
            now: the present, on the clock's seconds.
        """
        if self.availability == OFFLINE:
            return "offline"
        if self.availability != ONLINE:
            return "stopped"
        if self.state.session is not None and self.heard is not None and now - self.heard > STALE:
            return "silent"
        if self.state.shed_audio or self.state.given_up:
            return "lossy"
        return "busy" if self.state.session is not None else "idle"

    def last_seen(self, now: float, wall: datetime) -> float | None:
        """Return seconds since the node's last message, or since its latest event if that is older; None if unknown."""
        if self.heard is not None:
            return max(0.0, now - self.heard)
        if self.state.time is not None:
            return max(0.0, (wall - self.state.time).total_seconds())
        return None

    def as_dict(self) -> dict[str, Any]:
        """Make the JSON form."""
        return {
            "node": self.name,
            "availability": self.availability,
            "version": self.instance.version if self.instance else None,
            "host": self.instance.host if self.instance else None,
            **self.state.model_dump(mode="json"),
        }


class Fleet:
    """The nodes under a prefix, by name.

    Args:
        prefix: of all topics.
        clock: for the times of arrival.
    """

    def __init__(self, prefix: str, clock: Clock | None = None) -> None:
        self.nodes: dict[str, FleetNode] = {}
        self._prefix = prefix
        self._clock = clock or WallClock()

    @property
    def topics(self) -> list[str]:
        """The topics to read."""
        return [f"{self._prefix}/+/{each}" for each in ("availability", "instance", "diagnostics")]

    def take(self, reading: Reading) -> FleetNode | None:
        """Apply a message; give its node, None if the message is none of a node's."""
        levels = reading.topic.removeprefix(f"{self._prefix}/").split("/")
        if len(levels) != 2:
            return None
        name, kind = levels
        node = self.nodes.get(name)
        if node is None:
            if len(self.nodes) >= MAX_NODES:
                return None
            node = FleetNode(name)
        if not _apply(node, kind, reading.payload):
            return None
        if not reading.retained:
            node.heard = self._clock.seconds()
        self.nodes[name] = node
        return node

    def conditions(self) -> dict[Condition, int]:
        """Count the nodes in each condition."""
        now = self._clock.seconds()
        counts: dict[Condition, int] = {}
        for node in self.nodes.values():
            condition = node.condition(now)
            counts[condition] = counts.get(condition, 0) + 1
        return counts

    def most_urgent(self, count: int) -> list[FleetNode]:
        """Give so many nodes, those in the most urgent condition first, by name."""
        now = self._clock.seconds()
        return sorted(
            self.nodes.values(), key=lambda node: (URGENCY.index(node.condition(now)), node.name)
        )[:count]


async def follow_fleet(
    broker: Broker, fleet: Fleet
) -> AsyncGenerator[FleetNode | ConnectionChange, None]:
    """Keep a fleet up to date, for ever; give each node that has changed.

    Raises:
        UserError: if the broker is unreachable at the beginning, or refuses the client.
    """
    async with aclosing(read(broker, fleet.topics)) as readings:
        async for reading in readings:
            if isinstance(reading, ConnectionChange):
                yield reading
            elif node := fleet.take(reading):
                yield node


def _apply(node: FleetNode, kind: str, payload: bytes) -> bool:
    """Apply a payload of a stranger to a node; give whether it was valid."""
    try:
        match kind:
            case "availability":
                value = payload.decode("ascii")
                if value not in {ONLINE, OFFLINE, STOPPED}:
                    return False
                node.availability = value
            case "instance" if payload:
                instance = Instance.model_validate_json(payload)
                if instance.claim:
                    return False
                node.instance = instance
            case "diagnostics":
                node.state = NodeState.model_validate_json(payload)
            case _:
                return False
    except (ValidationError, UnicodeDecodeError):
        return False
    return True

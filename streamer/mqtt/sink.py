"""The MQTT sink of one conversation."""

import logging
from types import TracebackType
from typing import TYPE_CHECKING, Self

from streamer import events
from streamer.control import LiveStatus
from streamer.mqtt.address import Broker
from streamer.mqtt.commands import Handler
from streamer.mqtt.database import StoredEvent
from streamer.mqtt.node import Conversation, Node
from streamer.mqtt.selection import Selection
from streamer.settings.tree import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


class UndeliveredError(OSError):
    """Events are undelivered at the end, and `mqtt.required` is set."""


class MqttSink:
    """Publishes events, each at least once and in order, through outages of the broker.

    Several sinks at a time share their node's connection. Lasting failures go to `report`, which logs them until
    it is replaced; the replacement gets the earlier lines, too.

    Args:
        settings: all settings.
        broker: which broker.
        handler: executes commands received over MQTT.
        status: of the conversation; shows how many events wait.
    """

    def __init__(
        self,
        settings: Settings,
        broker: Broker,
        handler: Handler | None = None,
        status: LiveStatus | None = None,
    ) -> None:
        self._status = status or LiveStatus()
        self._settings = settings
        self._broker = broker
        self._selection = Selection(settings.mqtt.types)
        self._early: list[str] = []
        self._conversation = Conversation(self._report_early, handler)

    @property
    def report(self) -> "Callable[[str], None]":
        """Get a line for each lasting failure."""
        return self._conversation.report

    @report.setter
    def report(self, report: "Callable[[str], None]") -> None:
        self._conversation.report = report
        early, self._early = self._early, []
        for line in early:
            report(line)

    def _report_early(self, line: str) -> None:
        log.warning(line)
        self._early.append(line)

    @property
    def waiting(self) -> int:
        """Number of the node's events that the broker has not yet acknowledged."""
        return self._node.waiting

    @property
    def connected(self) -> bool:
        """Whether the connection to the broker is open."""
        return self._node.connected

    async def __aenter__(self) -> Self:
        self._node = await Node.join(self._settings, self._broker, self._conversation)
        self._status.outbox = lambda: self.waiting
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._node.leave(self._conversation)
        if self._settings.mqtt.required and self._node.waiting and exc is None:
            raise UndeliveredError(
                f"MQTT broker {self._broker}: {self._node.waiting} events undelivered"
            )

    async def emit(self, event: events.Event) -> None:
        """Store an event; it is sent as soon as the broker accepts it."""
        self._conversation.session = event.session
        payload = self._selection.payload(event)
        if payload is not None:
            await self._node.put(StoredEvent(event.session, event.type, payload))

    async def stored(self) -> None:
        """Wait until all events emitted so far are in the outbox."""
        await self._node.stored()

"""The sink: what of a conversation's events goes out over MQTT."""

import logging
from types import TracebackType
from typing import TYPE_CHECKING, Self, get_args

from streamer import events
from streamer.errors import UserError
from streamer.mqtt.address import Broker
from streamer.mqtt.commands import Handler
from streamer.mqtt.node import Member, Node
from streamer.mqtt.store import Entry
from streamer.settings.tree import Settings

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)


class MqttSink:
    """Publishes events, each at least once and in order, whatever the broker does meanwhile.

    Several at a time share their node's connection. What goes wrong for good is told to `report`, which logs it
    until it is replaced: it belongs into an `error` event. Who replaces it gets what was told before, too.

    Args:
        settings: all settings.
        broker: where to.
        handler: obeys commands that come over MQTT.
    """

    def __init__(self, settings: Settings, broker: Broker, handler: Handler | None = None) -> None:
        self._settings = settings
        self._broker = broker
        self._selection = _Selection(settings)
        self._early: list[str] = []
        self._member = Member(self._tell_early, handler)

    @property
    def report(self) -> "Callable[[str], None]":
        """Gets a line for each thing that went wrong for good."""
        return self._member.report

    @report.setter
    def report(self, report: "Callable[[str], None]") -> None:
        self._member.report = report
        early, self._early = self._early, []
        for line in early:
            report(line)

    def _tell_early(self, line: str) -> None:
        """Log what nobody makes an event of, and keep it for whoever may yet."""
        log.warning(line)
        self._early.append(line)

    @property
    def waiting(self) -> int:
        """Events of the node that the broker has not yet acknowledged."""
        return self._node.waiting

    @property
    def connected(self) -> bool:
        """The broker has us."""
        return self._node.connected

    async def __aenter__(self) -> Self:
        self._node = await Node.join(self._settings, self._broker, self._member)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._node.leave(self._member)

    async def emit(self, event: events.Event) -> None:
        """Store an event; it is sent as soon as the broker takes it."""
        self._member.session = event.session
        payload = self._selection.payload(event)
        if payload is not None:
            await self._node.put(Entry(event.session, event.type, payload))


class _Selection:
    """Which events are published, and how a reader sees that others were left out on purpose."""

    def __init__(self, settings: Settings) -> None:
        self._types = frozenset(settings.mqtt.types or event_types())
        unknown = self._types - event_types()
        if unknown:
            raise UserError(
                f"mqtt.types: no such event: {', '.join(sorted(unknown))} "
                f"(known: {', '.join(sorted(event_types()))})"
            )
        self._interval = settings.mqtt.update_interval
        self._session = ""
        self._received = -1
        self._published: int | None = None
        self._updated: dict[str, float] = {}

    def payload(self, event: events.Event) -> bytes | None:
        """What is published for an event; None if nothing is.

        An event that follows others which were left out on purpose names the one before it: `after`.
        """
        if event.session != self._session:
            self._session = event.session
            self._received, self._published = -1, None
            self._updated.clear()
        if event.seq != self._received + 1:
            self._published = event.seq - 1  # what is missing was lost before us: no purpose
        self._received = event.seq
        if event.type not in self._types or self._too_soon(event):
            return None
        text = event.to_json()
        before = -1 if self._published is None else self._published
        if before != event.seq - 1:
            after = "null" if self._published is None else self._published
            text = f'{text[:-1]},"after":{after}}}'
        self._published = event.seq
        return text.encode()

    def _too_soon(self, event: events.Event) -> bool:
        if isinstance(event, events.Utterance):
            self._updated.pop(event.utterance, None)
        if not isinstance(event, events.SpeechUpdate) or not self._interval:
            return False
        last = self._updated.get(event.utterance)
        if last is not None and event.end - last < self._interval:
            return True
        self._updated[event.utterance] = event.end
        return False


def event_types() -> frozenset[str]:
    """The types of events that there are."""
    union, *_ = get_args(events.Event)
    return frozenset(kind.model_fields["type"].default for kind in get_args(union))

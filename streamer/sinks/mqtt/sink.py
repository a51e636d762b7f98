"""The sink: what of the events goes out over MQTT, and what the user hears of it."""

import asyncio
import hashlib
import logging
import os
from collections import Counter
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self, get_args

from streamer import events
from streamer.clock import WallClock
from streamer.config import Settings
from streamer.errors import UserError
from streamer.sinks.mqtt.address import Broker
from streamer.sinks.mqtt.commands import Handler
from streamer.sinks.mqtt.connection import RefusedError
from streamer.sinks.mqtt.outbox import Entry, Outbox
from streamer.sinks.mqtt.publisher import Publisher

if TYPE_CHECKING:
    from collections.abc import Callable

log = logging.getLogger(__name__)

MAX_BEHIND = 2000
"""Events that may wait for the disk before `emit` does."""

REPORT_INTERVAL = 10.0
"""Seconds between two reports of events that were given up."""

FAREWELL = 4.0
"""Seconds that saying farewell may take."""


class MqttSink:
    """Publishes events, each at least once and in order, whatever the broker does meanwhile.

    Args:
        settings: all settings.
        broker: where to.
        handler: obeys commands that come over MQTT.

    `report` gets a line for each thing that went wrong for good, which belongs into an `error` event; it may be
    replaced, and logs until then.
    """

    def __init__(self, settings: Settings, broker: Broker, handler: Handler | None = None) -> None:
        self.report: Callable[[str], None] = log.warning
        self._settings = settings
        self._broker = broker
        self._handler = handler
        self._selection = _Selection(settings)
        self._lost: Counter[str] = Counter()
        self._told_lost: asyncio.TimerHandle | None = None

    @property
    def waiting(self) -> int:
        """Events that the broker has not yet acknowledged."""
        return self._outbox.waiting

    @property
    def connected(self) -> bool:
        """The broker has us."""
        return self._publisher.connected

    async def __aenter__(self) -> Self:
        mqtt = self._settings.mqtt
        self._outbox = Outbox(
            outbox_file(self._broker, mqtt.outbox),
            limit=mqtt.outbox_megabytes * 1e6,
            max_age=mqtt.outbox_age,
            problem=self._report,
            given_up=self._count_lost,
        )
        await self._outbox.open()
        self._publisher = Publisher(
            self._broker,
            self._settings,
            self._outbox,
            handler=self._handler,
            report=self._report,
            give_up=self._give_up,
        )
        self._task = asyncio.create_task(self._publisher.run(), name="mqtt")
        try:
            problem = await self._publisher.first_attempt()
        except BaseException:
            await self._end()
            raise
        if isinstance(problem, RefusedError):
            await self._end()
            raise UserError(f"MQTT broker {self._broker}: {problem}")
        if problem is not None:
            log.warning(
                "MQTT broker %s: %s; events wait in %s", self._broker, problem, self._where()
            )
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            await self._delivered()
            self._publisher.stop()
            await asyncio.wait({self._task}, timeout=FAREWELL)
        finally:
            await self._end()
        self._report_lost()
        if waiting := self._outbox.waiting:
            if self._outbox.on_disk:
                log.warning(
                    "MQTT broker %s: %d events wait in %s; the next run delivers them",
                    self._broker,
                    waiting,
                    self._outbox.file,
                )
            else:
                log.error("MQTT broker %s: %d events are lost", self._broker, waiting)

    async def emit(self, event: events.Event) -> None:
        """Store an event; it is sent as soon as the broker takes it."""
        payload = self._selection.payload(event)
        if payload is None:
            return
        self._outbox.put(Entry(event.session, event.type, payload))
        if self._outbox.behind > MAX_BEHIND:
            await self._outbox.room()

    async def _delivered(self) -> None:
        """Wait until the broker has everything, or nothing has moved for a while."""
        patience = self._settings.mqtt.flush
        clock = WallClock()
        waiting, deadline = self._outbox.waiting, clock.seconds() + patience
        while self._outbox.waiting and clock.seconds() < deadline and not self._task.done():
            await asyncio.sleep(0.02)
            if self._outbox.waiting < waiting:
                waiting, deadline = self._outbox.waiting, clock.seconds() + patience

    async def _end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._outbox.close()
        if self._told_lost:
            self._told_lost.cancel()

    def _where(self) -> str:
        return str(self._outbox.file) if self._outbox.on_disk else "memory"

    # What is given up is told at once, and then now and then: there may be thousands.

    def _report(self, line: str) -> None:
        self.report(f"MQTT: {line}")

    def _give_up(self, entry: Entry, reason: str) -> None:
        log.warning("MQTT: event %s of %s given up: %s", entry.type, entry.session, reason)
        self._outbox.remove(entry.id)
        self._count_lost(Counter({entry.type: 1}), reason)

    def _count_lost(
        self, types: Counter[str], reason: str = "the outbox is full or they are too old"
    ) -> None:
        self._lost += types
        self._reason = reason
        self._publisher.view.gave_up(types.total())
        if self._told_lost is None:
            self._report_lost()
            loop = asyncio.get_running_loop()
            self._told_lost = loop.call_later(REPORT_INTERVAL, self._report_later)

    def _report_later(self) -> None:
        self._told_lost = None
        self._report_lost()

    def _report_lost(self) -> None:
        if self._lost:
            counts = ", ".join(f"{count} {type_}" for type_, count in self._lost.items())
            total, self._lost = self._lost.total(), Counter()
            self._report(f"{total} events given up ({counts}): {self._reason}")


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


def outbox_file(broker: Broker, directory: Path | None = None) -> Path:
    """Where what waits for a node's broker is kept: another broker must not get it."""
    if directory is None:
        state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd's
        home = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
        directory = Path(state) if state else Path(home) / "streamer"
    address = f"{broker.host}:{broker.port}/{broker.topics.root}"
    digest = hashlib.sha256(address.encode()).hexdigest()[:8]
    return directory.expanduser() / f"{broker.topics.node}-{digest}.sqlite"

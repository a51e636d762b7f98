"""A node: one outbox and one connection for all conversations that this process publishes at a time."""

import asyncio
import hashlib
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamer.clock import WallClock
from streamer.errors import UserError
from streamer.mqtt.address import Broker
from streamer.mqtt.commands import Command, Handler
from streamer.mqtt.database import StoredEvent
from streamer.mqtt.identity import state_directory
from streamer.mqtt.outbox import Outbox
from streamer.mqtt.problems import BrokerError, RefusedError, UnreachableError
from streamer.mqtt.publisher import Publisher
from streamer.settings.tree import Settings

log = logging.getLogger(__name__)

OUTBOX_BYTES = 64_000_000
"""Size limit of undelivered events."""
MAX_BEHIND = 200
"""Events that may wait for the disk before `put` waits."""

REPORT_INTERVAL = 10.0
"""Seconds between two reports of events that were given up."""

FIRST_WAIT = 3.0
"""Seconds that a conversation waits for the first attempt to connect."""

FLUSH, FLUSH_UNCONNECTED = 5.0, 2.0
"""Seconds without an acknowledgement after which the end gives up waiting, with and without a connection."""

FAREWELL = 4.0
"""Seconds that the farewell may take."""


@dataclass(eq=False)
class Conversation:
    """A published conversation."""

    report: Callable[[str], None]
    """Gets a line for each lasting failure."""
    handler: Handler | None
    """Executes commands."""
    session: str | None = None
    """The conversation's id, once it has begun."""


class Node:
    """Shared by the conversations of a node; `join` gives it, and `leave` ends it with the last of them."""

    _running: "dict[Path, Node]" = {}  # noqa: RUF012 - this process's nodes, by outbox

    def __init__(self, settings: Settings, broker: Broker) -> None:
        self._settings = settings
        self._broker = broker
        self._conversations: list[Conversation] = []
        self._given_up: dict[str, Counter[str]] = {}
        """Events given up since the last report, by reason and type."""
        self._report_timer: asyncio.TimerHandle | None = None
        self.file = outbox_file(broker, state_directory(settings.mqtt.outbox))
        self._outbox = Outbox(
            self.file,
            limit=OUTBOX_BYTES,
            max_age=settings.mqtt.retention,
            problem=self._report,
            given_up=self._count_given_up,
        )
        self._publisher = Publisher(
            broker,
            settings,
            self._outbox,
            handler=self._execute,
            report=self._report,
            give_up=self._give_up,
        )
        self._opened = asyncio.ensure_future(self._open())
        self.leaving = False
        """The last conversation is leaving."""
        self.closed = asyncio.Event()

    @classmethod
    async def join(cls, settings: Settings, broker: Broker, conversation: Conversation) -> "Node":
        """Give the node of these settings, connected if its broker is reachable.

        Raises:
            UserError: if the broker refuses the client, or another process publishes as this node.
        """
        file = outbox_file(broker, state_directory(settings.mqtt.outbox))
        while (node := cls._running.get(file)) is not None and node.leaving:
            await node.closed.wait()
        if node is None:
            node = cls._running[file] = cls(settings, broker)
        node._conversations.append(conversation)
        try:
            await asyncio.shield(node._opened)
        except BaseException:
            await node.leave(conversation)
            raise
        return node

    async def leave(self, conversation: Conversation) -> None:
        """End a conversation; with the last one flush the outbox and disconnect."""
        if self._conversations != [conversation]:
            self._conversations.remove(conversation)
            return
        self.leaving = True
        try:
            if self._opened.done() and not self._opened.exception():
                await self._close(conversation)
            else:
                self._opened.cancel()
                await asyncio.gather(self._opened, return_exceptions=True)
        finally:
            self._running.pop(self.file, None)
            self.closed.set()

    @property
    def waiting(self) -> int:
        """Number of events that the broker has not yet acknowledged."""
        return self._outbox.waiting

    @property
    def connected(self) -> bool:
        """Whether the connection to the broker is open."""
        return self._publisher.connected

    async def put(self, event: StoredEvent) -> None:
        """Store an event; it is sent as soon as the broker accepts it."""
        self._outbox.put(event)
        if self._outbox.behind > MAX_BEHIND:
            await self._outbox.stored()

    async def stored(self) -> None:
        """Wait until all events put so far are in the outbox."""
        await self._outbox.stored()

    async def _open(self) -> None:
        await self._outbox.open()
        if adopted := await self._outbox.adopt(stranded(self.file, self._broker)):
            log.warning("MQTT: %d events of an earlier node will be delivered", adopted)
        self._task = asyncio.create_task(self._publisher.run(), name="mqtt")
        try:
            problem = await self._first_attempt()
        except BaseException:
            await self._end()
            raise
        if isinstance(problem, RefusedError):
            await self._end()
            raise UserError(f"MQTT broker {self._broker}: {problem}")
        if problem is not None:
            where = self.file if self._outbox.on_disk else "memory"
            log.warning("MQTT broker %s: %s; events wait in %s", self._broker, problem, where)

    async def _first_attempt(self) -> BrokerError | None:
        try:
            async with asyncio.timeout(FIRST_WAIT):
                return await self._publisher.first_attempt()
        except TimeoutError:
            return UnreachableError("timed out: no answer yet")

    async def _close(self, conversation: Conversation) -> None:
        try:
            await self._flush()
            self._publisher.stop()
            if self.connected:
                await asyncio.wait({self._task}, timeout=FAREWELL)
        finally:
            await self._end()
        self._report_given_up()
        if waiting := self._outbox.waiting:
            if self._outbox.on_disk:
                log.warning(
                    "MQTT broker %s: %d events wait in %s; the next run delivers them",
                    self._broker,
                    waiting,
                    self.file,
                )
            else:
                conversation.report(f"MQTT: {waiting} events are lost: they waited in memory")

    async def _flush(self) -> None:
        """Wait until the broker has acknowledged everything, or there is no progress."""
        clock = WallClock()
        waiting, progress = self._outbox.waiting, clock.seconds()
        while self._outbox.waiting and not self._task.done():
            limit = FLUSH if self.connected else min(FLUSH, FLUSH_UNCONNECTED)
            if clock.seconds() >= progress + limit:
                return
            await asyncio.sleep(0.02)
            if self._outbox.waiting < waiting:
                waiting, progress = self._outbox.waiting, clock.seconds()

    async def _end(self) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        await self._outbox.close()
        if self._report_timer:
            self._report_timer.cancel()

    async def _execute(self, command: Command) -> str | None:
        controlled = [each for each in self._conversations if each.handler]
        if command.session is not None:
            controlled = [each for each in controlled if each.session == command.session]
        problems = [await each.handler(command) for each in controlled if each.handler]
        if not problems:
            return "no such conversation here, or none that can be controlled"
        return None if None in problems else problems[0]

    # Events given up are reported at once, and then in intervals: there may be thousands.

    def _report(self, line: str) -> None:
        for conversation in self._conversations:
            conversation.report(f"MQTT: {line}")

    def _give_up(self, event: StoredEvent, reason: str) -> None:
        log.debug("MQTT: event %s of %s given up: %s", event.type, event.session, reason)
        self._outbox.remove(event.id)
        self._count_given_up(Counter({event.type: 1}), reason)

    def _count_given_up(self, types: Counter[str], reason: str) -> None:
        self._given_up.setdefault(reason, Counter()).update(types)
        self._publisher.view.gave_up(types.total())
        if self._report_timer is None:
            self._report_given_up()
            loop = asyncio.get_running_loop()
            self._report_timer = loop.call_later(REPORT_INTERVAL, self._report_later)

    def _report_later(self) -> None:
        self._report_timer = None
        self._report_given_up()

    def _report_given_up(self) -> None:
        given_up, self._given_up = self._given_up, {}
        for reason, types in given_up.items():
            counts = ", ".join(f"{count} {type_}" for type_, count in types.items())
            self._report(f"{types.total()} events given up ({counts}): {reason}")


def outbox_file(broker: Broker, directory: Path) -> Path:
    """Return the outbox of a node at a broker; another broker must not get its events."""
    return directory / f"{broker.topics.node}-{_digest(broker, broker.topics.node)}.sqlite"


def stranded(own: Path, broker: Broker) -> list[Path]:
    """Return the outboxes of other nodes for the same broker and prefix, oldest first; some may be in use."""
    found = []
    for file in own.parent.glob("*-????????.sqlite"):
        node, _, digest = file.stem.rpartition("-")
        if file != own and digest == _digest(broker, node):
            found.append(file)
    return sorted(found, key=lambda file: file.stat().st_mtime)


def _digest(broker: Broker, node: str) -> str:
    address = f"{broker.host}:{broker.port}/{broker.topics.prefix}/{node}"
    return hashlib.sha256(address.encode()).hexdigest()[:8]

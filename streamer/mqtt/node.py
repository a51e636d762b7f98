"""A node: one outbox and one connection for all conversations that this process publishes at a time."""

import asyncio
import hashlib
import logging
import os
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from streamer.clock import WallClock
from streamer.errors import UserError
from streamer.mqtt.address import Broker
from streamer.mqtt.commands import Command, Handler
from streamer.mqtt.outbox import Outbox
from streamer.mqtt.problems import RefusedError
from streamer.mqtt.publisher import Publisher
from streamer.mqtt.store import Entry
from streamer.settings.tree import Settings

log = logging.getLogger(__name__)

MAX_BEHIND = 200
"""Events that may wait for the disk before `put` does."""

REPORT_INTERVAL = 10.0
"""Seconds between two reports of events that were given up."""

FAREWELL = 4.0
"""Seconds that saying farewell may take."""

_FULL = "the outbox is full, or they are too old"


@dataclass(eq=False)
class Member:
    """A conversation that is published."""

    report: Callable[[str], None]
    """Gets a line for each thing that went wrong for good."""
    handler: Handler | None
    """Obeys commands."""
    session: str | None = None
    """The conversation's id, once it has begun."""


class Node:
    """What the conversations of a node share; `join` gives it, and `leave` ends it with the last of them."""

    _running: "dict[Path, Node]" = {}  # noqa: RUF012 - what this process publishes, by outbox

    def __init__(self, settings: Settings, broker: Broker) -> None:
        self._settings = settings
        self._broker = broker
        self._members: list[Member] = []
        self._lost: Counter[str] = Counter()
        self._reason = _FULL
        self._told_lost: asyncio.TimerHandle | None = None
        self.file = outbox_file(broker, settings.mqtt.outbox)
        self._outbox = Outbox(
            self.file,
            limit=settings.mqtt.outbox_megabytes * 1e6,
            max_age=settings.mqtt.outbox_age,
            problem=self._report,
            given_up=self._count_lost,
        )
        self._publisher = Publisher(
            broker,
            settings,
            self._outbox,
            handler=self._obey,
            report=self._report,
            give_up=self._give_up,
        )
        self._opened = asyncio.ensure_future(self._open())
        self.leaving = False
        """The last member is about to leave."""
        self.closed = asyncio.Event()

    @classmethod
    async def join(cls, settings: Settings, broker: Broker, member: Member) -> "Node":
        """The node of these settings, connected if its broker is there.

        Raises:
            UserError: if the broker refuses us, or another process publishes as this node.
        """
        file = outbox_file(broker, settings.mqtt.outbox)
        while (node := cls._running.get(file)) is not None and node.leaving:
            await node.closed.wait()
        if node is None:
            node = cls._running[file] = cls(settings, broker)
        node._members.append(member)
        try:
            await asyncio.shield(node._opened)
        except BaseException:
            await node.leave(member)
            raise
        return node

    async def leave(self, member: Member) -> None:
        """Stop publishing if nobody else is left: wait for what is under way, and say farewell."""
        if self._members != [member]:
            self._members.remove(member)
            return
        self.leaving = True
        try:
            if self._opened.done() and not self._opened.exception():
                await self._close(member)
            else:
                self._opened.cancel()
                await asyncio.gather(self._opened, return_exceptions=True)
        finally:
            self._running.pop(self.file, None)
            self.closed.set()

    @property
    def waiting(self) -> int:
        """Events that the broker has not yet acknowledged."""
        return self._outbox.waiting

    @property
    def connected(self) -> bool:
        """The broker has us."""
        return self._publisher.connected

    async def put(self, entry: Entry) -> None:
        """Store an event; it is sent as soon as the broker takes it."""
        self._outbox.put(entry)
        if self._outbox.behind > MAX_BEHIND:
            await self._outbox.room()

    async def _open(self) -> None:
        await self._outbox.open()
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
            where = self.file if self._outbox.on_disk else "memory"
            log.warning("MQTT broker %s: %s; events wait in %s", self._broker, problem, where)

    async def _close(self, member: Member) -> None:
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
                    self.file,
                )
            else:
                member.report(f"MQTT: {waiting} events are lost: they waited in memory")

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

    async def _obey(self, command: Command) -> str | None:
        steered = [member for member in self._members if member.handler]
        if command.session is not None:
            steered = [member for member in steered if member.session == command.session]
        problems = [await member.handler(command) for member in steered if member.handler]
        if not problems:
            return "no such conversation here, or none that can be steered"
        return None if None in problems else problems[0]

    # What is given up is told at once, and then now and then: there may be thousands.

    def _report(self, line: str) -> None:
        for member in self._members:
            member.report(f"MQTT: {line}")

    def _give_up(self, entry: Entry, reason: str) -> None:
        log.debug("MQTT: event %s of %s given up: %s", entry.type, entry.session, reason)
        self._outbox.remove(entry.id)
        self._count_lost(Counter({entry.type: 1}), reason)

    def _count_lost(self, types: Counter[str], reason: str = _FULL) -> None:
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


def outbox_file(broker: Broker, directory: Path | None = None) -> Path:
    """Where what waits for a node's broker is kept: another broker must not get it."""
    if directory is None:
        state = os.environ.get("STATE_DIRECTORY", "").partition(":")[0]  # systemd's
        home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
        directory = Path(state) if state else Path(home) / "streamer"
    address = f"{broker.host}:{broker.port}/{broker.topics.root}"
    digest = hashlib.sha256(address.encode()).hexdigest()[:8]
    try:
        return directory.expanduser() / f"{broker.topics.node}-{digest}.sqlite"
    except RuntimeError:
        raise UserError(
            "mqtt.outbox: there is no home directory; name one to keep events in"
        ) from None

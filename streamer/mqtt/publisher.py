"""Keeps a node published: connects, says who is there, sends what the outbox holds, and begins again."""

import asyncio
import logging
import random
from collections.abc import Callable
from contextlib import suppress
from functools import partial

from pydantic import ValidationError

from streamer import events
from streamer.mqtt import home_assistant
from streamer.mqtt.address import Broker
from streamer.mqtt.client import Received, Will
from streamer.mqtt.commands import Commands, Handler
from streamer.mqtt.connection import Connection, connect
from streamer.mqtt.outbox import Outbox
from streamer.mqtt.presence import OFFLINE, Presence
from streamer.mqtt.problems import (
    BrokerError,
    RefusedError,
    UnreachableError,
)
from streamer.mqtt.sender import Sender
from streamer.mqtt.state import NodeView
from streamer.mqtt.store import Entry
from streamer.settings.tree import Settings

log = logging.getLogger(__name__)

FIRST_DELAY = 0.25
"""Seconds, at most, before the first attempt to connect again; doubled for each further one."""


class Publisher:
    """The connection of a node to its broker, as long as the node lives.

    Args:
        broker: where to.
        settings: all settings.
        outbox: what to send.
        handler: obeys commands, if the settings let it.
        report: gets a line about what went wrong for good.
        give_up: told an event that will not be delivered, and why.
    """

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        outbox: Outbox,
        *,
        handler: Handler,
        report: Callable[[str], None],
        give_up: Callable[[Entry, str], None],
    ) -> None:
        self.view = NodeView()
        self.connected = False
        self._broker = broker
        self._topics = broker.topics
        self._mqtt = settings.mqtt
        self._privacy = settings.privacy
        self._alerts = settings.alerts
        self._outbox = outbox
        self._report = report
        self._commands = Commands(handler) if settings.mqtt.commands else None
        self._presence = Presence(broker.topics)
        self._stopping = asyncio.Event()
        self._first: asyncio.Future[BrokerError | None] = asyncio.Future()
        self._sender = Sender(
            outbox, broker.topics, settings.mqtt, follow=self._follow, give_up=give_up
        )
        self._seen = 0
        """The last event that the view has followed."""
        self._announced = ""

    async def first_attempt(self) -> BrokerError | None:
        """Why the first attempt to connect failed, or None."""
        return await asyncio.shield(self._first)

    def stop(self) -> None:
        """Let `run` say farewell and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Publish until stopped; connect again whenever the connection is gone."""
        attempts = 0
        told = ""
        while not self._stopping.is_set():
            problem = await self._attempt()
            if problem is None:
                return
            if self.connected:
                self.connected = False
                told = ""
                if self._sender.broke_off():
                    attempts = 0
            reason = f"broker {self._broker}: {problem}"
            if not self._first.done():
                self._first.set_result(problem)
            elif reason != told and isinstance(problem, RefusedError):
                self._report(f"{reason}; trying again now and then")
            elif reason != told:
                log.warning("%s; %d events wait", reason, self._outbox.waiting)
            told = reason
            attempts += 1
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), self._delay(problem, attempts))

    def _delay(self, problem: BrokerError, attempts: int) -> float:
        longest = self._mqtt.reconnect_max
        if isinstance(problem, RefusedError):
            return longest * random.uniform(1, 2)
        return min(longest, FIRST_DELAY * 2.0 ** min(attempts, 20)) * random.uniform(0.5, 1)

    async def _attempt(self) -> BrokerError | None:
        """Connect and publish; give the reason why that ended, None if it was asked for."""
        problem: BrokerError | None = None
        try:
            async with connect(
                self._broker,
                identifier=self._presence.identifier,
                will=Will(self._topics.availability, OFFLINE),
                schema=events.SCHEMA,
                expiry=self._mqtt.expiry,
            ) as link:
                await self._serve(link)
        except* BrokerError as group:
            errors = _leaves(group)
            refused = [error for error in errors if isinstance(error, RefusedError)]
            problem = (refused or errors)[0]
        except* Exception as group:  # a defect of ours must not end the delivery
            log.debug("publishing broke off", exc_info=group)
            problem = UnreachableError(f"unexpected: {group.exceptions[0]!r}")
        self._presence.away()
        return problem

    async def _serve(self, link: Connection) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(link.lost(), name="lost"),
                group.create_task(self._listen(link), name="listen"),
            ]
            await self._introduce(link)
            self.connected = True
            if not self._first.done():
                self._first.set_result(None)
            else:
                log.warning(
                    "broker %s: connected; %d events wait", self._broker, self._outbox.waiting
                )
            sending = self._sender.run(link, partial(self._publish_states, link))
            tasks.append(group.create_task(sending, name="send"))
            await self._stopping.wait()
            for task in tasks:
                task.cancel()
        await self._publish_states(link)
        await self._presence.release(link)

    async def _introduce(self, link: Connection) -> None:
        """Say that the node is there, and all that a newcomer needs to know."""
        topics = list(self._presence.topics)
        if self._commands:
            topics.append(self._topics.command)
        if self._mqtt.home_assistant:
            topics.append(home_assistant.status_topic(self._mqtt.discovery_prefix))
        for topic in await link.subscribe(topics):
            log.warning("broker %s: not allowed to read %s", self._broker, topic)
        await self._presence.claim(link)
        await self._announce(link)
        self.view.changed |= set(self.view.speakers)
        self.view.node_changed = True
        await self._publish_states(link)

    # What is received.

    async def _listen(self, link: Connection) -> None:
        async for message in link.messages():
            if message.topic in self._presence.topics:
                await self._presence.take(link, message)
                for line in self._presence.told:
                    self._report(line)
                self._presence.told.clear()
            elif message.topic == self._topics.command:
                await self._obey(link, message)
            elif message.payload == home_assistant.BIRTH.encode():
                await self._announce(link)
            link.acknowledge(message)

    async def _obey(self, link: Connection, message: Received) -> None:
        # A retained command would be obeyed anew after each reconnection.
        if self._commands and not message.retained:
            reply = await self._commands.obey(message.payload)
            await link.publish(self._topics.reply, reply.model_dump_json(), retain=False)

    def _follow(self, entry: Entry) -> None:
        if entry.id > self._seen:
            self._seen = entry.id
            with suppress(ValidationError):  # left by another version
                self.view.take(events.parse(entry.payload))

    # What is retained.

    async def _publish_states(self, link: Connection) -> None:
        await self._announce_changes(link)
        while self.view.changed:
            state = self.view.speakers.get(self.view.changed.pop())
            if state is not None:
                await link.publish(self._topics.state(state.channel), state.model_dump_json())
        if self.view.node_changed:
            self.view.node_changed = False
            await link.publish(self._topics.diagnostics, self.view.node.model_dump_json())

    async def _announce_changes(self, link: Connection) -> None:
        if self._mqtt.home_assistant and self._discovery() not in {self._announced, ""}:
            await self._announce(link)

    async def _announce(self, link: Connection) -> None:
        if self._mqtt.home_assistant and (discovery := self._discovery()):
            topic = home_assistant.discovery_topic(self._mqtt.discovery_prefix, self._topics)
            await link.publish(topic, discovery)
            self._announced = discovery

    def _discovery(self) -> str:
        view = self.view
        if view.model is None:
            return ""
        modes = self._privacy.channels
        channels = [name for name in view.channels if modes.get(name, "analyse") == "analyse"]
        model = f"{view.model.name} {view.model.version}"
        rules = [rule.name for rule in self._alerts.rules]
        return home_assistant.discovery(self._topics, channels, view.labels, model, rules)


def _leaves(group: BaseExceptionGroup[BrokerError]) -> list[BrokerError]:
    leaves: list[BrokerError] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return leaves

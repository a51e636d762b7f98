"""Keep a node published: connect, announce it, send the outbox's events, and reconnect."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial

from pydantic import ValidationError

from streamer import events
from streamer.clock import Clock, WallClock, within
from streamer.mqtt import home_assistant
from streamer.mqtt.address import Broker
from streamer.mqtt.backoff import USEFUL, Backoff
from streamer.mqtt.commands import Commands, Handler
from streamer.mqtt.connection import Connection, connect
from streamer.mqtt.database import StoredEvent
from streamer.mqtt.messages import Message, Will
from streamer.mqtt.outbox import Outbox
from streamer.mqtt.presence import OFFLINE, Presence
from streamer.mqtt.problems import (
    BrokerError,
    QosUnsupportedError,
    RefusedError,
    RetainUnsupportedError,
    UnreachableError,
)
from streamer.mqtt.sender import Sender
from streamer.mqtt.state import NodeView
from streamer.settings.tree import Settings

log = logging.getLogger(__name__)

_NO_RETAIN = "no retained messages: subscribers learn states only when they change"
_QOS_0 = "QoS 0 only: events may be lost when the connection breaks"


class Publisher:
    """The connection of a node to its broker, as long as the node exists.

    Args:
        broker: which broker.
        settings: all settings.
        outbox: the events to send.
        handler: executes commands, if the settings permit them.
        report: gets a line about a lasting failure.
        give_up: called with an event that will not be delivered, and the reason.
        clock: for the age of connections and acknowledgements.
    """

    def __init__(
        self,
        broker: Broker,
        settings: Settings,
        outbox: Outbox,
        *,
        handler: Handler,
        report: Callable[[str], None],
        give_up: Callable[[StoredEvent, str], None],
        clock: Clock | None = None,
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
        self._clock = clock or WallClock()
        self._commands = Commands(handler, self._clock) if settings.mqtt.commands else None
        self._presence = Presence(broker.topics)
        self._stopping = asyncio.Event()
        self._first: asyncio.Future[BrokerError | None] = asyncio.Future()
        self._sender = Sender(
            outbox, broker.topics, follow=self._follow, give_up=give_up, clock=self._clock
        )
        self._followed = 0
        """The last event that the view has followed."""
        self._announced = ""
        self._limitations: set[str] = set()

    async def first_attempt(self) -> BrokerError | None:
        """Wait for the first attempt to connect; give why it failed, or None."""
        return await asyncio.shield(self._first)

    def stop(self) -> None:
        """Let `run` publish a farewell and end."""
        self._stopping.set()

    async def run(self) -> None:
        """Publish until stopped; reconnect whenever the connection is lost."""
        backoff = Backoff()
        reported = ""
        while not self._stopping.is_set():
            began = self._clock.seconds()
            problem = await self._attempt()
            if problem is None:
                return
            if self._adapt(problem):
                continue
            if self.connected:
                self.connected = False
                reported = ""
                if self._sender.connection_lost() or self._clock.seconds() - began > USEFUL:
                    backoff.reset()
            reason = f"broker {self._broker}: {problem}"
            refused = isinstance(problem, RefusedError)
            if not self._first.done():
                self._first.set_result(problem)
            elif reason != reported and refused:
                self._report(f"{reason}; trying again every minute")
            elif reason != reported:
                log.warning("%s; %d events wait", reason, self._outbox.waiting)
            reported = reason
            delay = backoff.after_refusal() if refused else backoff.next()
            await within(delay, self._stopping)

    def _adapt(self, problem: BrokerError) -> bool:
        """Do without what the broker has refused to support."""
        if isinstance(problem, RetainUnsupportedError) and self._broker.retain:
            self._broker = replace(self._broker, retain=False)
        elif isinstance(problem, QosUnsupportedError) and self._broker.qos:
            self._broker = replace(self._broker, qos=0)
        else:
            return False
        return True

    async def _attempt(self) -> BrokerError | None:
        """Connect and publish; give the reason for the end, None after `stop`."""
        problem: BrokerError | None = None
        broker = self._broker
        try:
            async with connect(
                broker,
                identifier=self._presence.identifier,
                will=Will(self._topics.availability, OFFLINE, broker.retain, broker.qos),
                schema=events.SCHEMA,
                expiry=self._mqtt.retention,
            ) as connection:
                await self._serve(connection)
        except* BrokerError as group:
            errors = _leaves(group)
            refused = [error for error in errors if isinstance(error, RefusedError)]
            problem = (refused or errors)[0]
        except* Exception as group:  # a defect of streamer must not end the delivery
            log.debug("publishing failed", exc_info=group)
            problem = UnreachableError(f"unexpected: {group.exceptions[0]!r}")
        self._presence.connection_lost()
        return problem

    async def _serve(self, connection: Connection) -> None:
        async with asyncio.TaskGroup() as group:
            tasks = [
                group.create_task(connection.lost(), name="lost"),
                group.create_task(self._receive(connection), name="receive"),
            ]
            await self._introduce(connection)
            self.connected = True
            if not self._first.done():
                self._first.set_result(None)
            else:
                log.warning(
                    "broker %s: connected; %d events wait", self._broker, self._outbox.waiting
                )
            sending = self._sender.run(connection, partial(self._publish_states, connection))
            tasks.append(group.create_task(sending, name="send"))
            await self._stopping.wait()
            for task in tasks:
                task.cancel()
        await self._publish_states(connection)
        await self._presence.release(connection)

    async def _introduce(self, connection: Connection) -> None:
        """Announce the node, and publish all that new subscribers need."""
        self._name_limitations(connection)
        topics = list(self._presence.topics)
        if self._commands:
            topics.append(self._topics.command)
        if self._mqtt.home_assistant:
            topics.append(home_assistant.STATUS_TOPIC)
        for topic in await connection.subscribe(topics):
            log.warning("broker %s: not permitted to read %s", self._broker, topic)
        await self._presence.claim(connection)
        await self._announce(connection)
        self.view.changed |= set(self.view.speakers)
        self.view.node_changed = True
        await self._publish_states(connection)

    def _name_limitations(self, connection: Connection) -> None:
        found = {_NO_RETAIN} if not connection.retains else set()
        found |= {_QOS_0} if connection.qos == 0 else set()
        for limitation in sorted(found - self._limitations):
            log.warning("broker %s: %s", self._broker, limitation)
        self._limitations |= found

    # Received messages.

    async def _receive(self, connection: Connection) -> None:
        async for message in connection.messages():
            if message.topic in self._presence.topics:
                for line in await self._presence.take(connection, message):
                    self._report(line)
            elif message.topic == self._topics.command:
                await self._execute(connection, message)
            elif message.payload == home_assistant.BIRTH.encode():
                await self._announce(connection)
            connection.acknowledge(message)

    async def _execute(self, connection: Connection, message: Message) -> None:
        # A retained command would be executed again after each reconnection.
        if self._commands and not message.retained:
            reply = await self._commands.execute(message.payload)
            if reply is not None:
                await connection.publish(self._topics.reply, reply.model_dump_json(), retain=False)

    def _follow(self, event: StoredEvent) -> None:
        if event.id > self._followed:
            self._followed = event.id
            with suppress(ValidationError):  # of another version
                self.view.take(events.parse(event.payload))

    # Retained messages.

    async def _publish_states(self, connection: Connection) -> None:
        await self._announce_changes(connection)
        while self.view.changed:
            state = self.view.speakers.get(self.view.changed.pop())
            if state is not None:
                await connection.publish(self._topics.state(state.channel), state.model_dump_json())
        if self.view.node_changed:
            self.view.node_changed = False
            await connection.publish(self._topics.diagnostics, self.view.node.model_dump_json())

    async def _announce_changes(self, connection: Connection) -> None:
        if self._mqtt.home_assistant and self._discovery() not in {self._announced, ""}:
            await self._announce(connection)

    async def _announce(self, connection: Connection) -> None:
        if self._mqtt.home_assistant and (discovery := self._discovery()):
            topic = home_assistant.discovery_topic(self._topics)
            await connection.publish(topic, discovery)
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

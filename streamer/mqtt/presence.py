"""One process for each node name: claims, answers to claims, availability.

A new process claims the name on the `instance` topic, and the holder answers, so that both know. A dead holder
leaves a retained instance, but does not answer.
"""

import asyncio
import os
import socket
import uuid
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from streamer import __version__
from streamer.clock import WallClock, within
from streamer.mqtt.connection import Connection
from streamer.mqtt.messages import Message
from streamer.mqtt.problems import RefusedError
from streamer.mqtt.topics import Topics

ONLINE, OFFLINE, STOPPED = "online", "offline", "stopped"
"""Payloads of the availability topic."""

ECHO, ANSWER = 2.0, 1.5
"""Seconds to wait for the broker to return a claim, and for a holder to answer it."""


class Instance(BaseModel):
    """Payload of the `instance` topic: a process that claims or holds the name."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    instance: str
    host: str
    process: int
    since: datetime
    version: str
    claim: bool = False

    def __str__(self) -> str:
        """Return the process's name in messages."""
        return f"process {self.process} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S}"


class RivalError(RefusedError):
    """Another process publishes as this node."""


class Presence:
    """This process's claim to the name of a node."""

    def __init__(self, topics: Topics) -> None:
        self._topics = topics
        self._me = Instance(
            instance=uuid.uuid4().hex[:12],
            host=socket.gethostname(),
            process=os.getpid(),
            since=WallClock().now(),
            version=__version__,
        )
        self._holding = False
        self._settled = False
        """Whether no claim that came before the name was taken can still lead to a second holder."""
        self._contended = False
        """Whether another process claimed the name before that."""
        self._stale: Instance | None = None
        self._availability = ""
        self._echoed = asyncio.Event()
        self._held = asyncio.Event()
        self._answered = asyncio.Event()
        self._rival: Instance | None = None

    @property
    def identifier(self) -> str:
        """The MQTT client's name, unique to this process: brokers drop the older of two equal ones."""
        return f"streamer-{self._me.instance}"

    @property
    def topics(self) -> tuple[str, str]:
        """The topics to subscribe to."""
        return self._topics.availability, self._topics.instance

    def connection_lost(self) -> None:
        """Note that the connection is lost, and the name with it."""
        self._holding = self._settled = self._contended = False
        self._rival = self._stale = None
        self._availability = ""
        for event in (self._echoed, self._held, self._answered):
            event.clear()

    async def claim(self, connection: Connection) -> None:
        """Take the name, unless another living process holds it.

        Raises:
            RivalError: if one does.
        """
        claim = self._me.model_copy(update={"claim": True})
        await connection.publish(self._topics.instance, claim.model_dump_json(), retain=False)
        # The retained messages arrive before the returned claim.
        returned = await within(ECHO, self._echoed)
        if returned:
            other = self._stale is not None and self._stale.instance != self._me.instance
            if self._availability == ONLINE and other:
                await within(ANSWER, self._answered)
        if self._rival is not None:
            raise RivalError(
                f"{self._rival} publishes as node {self._topics.node} already; "
                "stop it, or choose another name with mqtt.node"
            )
        self._holding = True
        await connection.publish(self._topics.instance, self._me.model_dump_json())
        connection.will_applies = True
        if returned:
            await self._settle()
        await connection.publish(self._topics.availability, ONLINE)

    async def _settle(self) -> None:
        """Let simultaneous claims come to an end.

        A claim that the broker took before this process's message that it holds the name is here before that message
        returns. The process that made it may not have known of this one, and hold the name now, too.
        """
        await within(ECHO, self._held)
        if self._contended:
            await within(ANSWER, self._answered)
        self._settled = True

    async def release(self, connection: Connection) -> None:
        """Give the name up: a clean end."""
        self._holding = False
        await connection.publish(self._topics.instance, "")
        await connection.publish(self._topics.availability, STOPPED)
        connection.will_applies = False

    async def take(self, connection: Connection, message: Message) -> list[str]:
        """Process a message to one of `topics`; give lines for the user.

        Raises:
            RivalError: if another process has taken the name meanwhile.
        """
        if message.topic == self._topics.availability:
            self._availability = message.payload.decode(errors="replace")
            if self._holding and self._availability != ONLINE:
                # The last will of an older connection.
                await connection.publish(self._topics.availability, ONLINE)
            return []
        try:
            instance = Instance.model_validate_json(message.payload)
        except ValidationError:
            return []
        if message.retained:
            self._stale = instance
        elif instance.instance == self._me.instance:
            (self._echoed if instance.claim else self._held).set()
        elif instance.claim:
            return await self._answer_claim(connection, instance)
        else:
            await self._meet_holder(connection, instance)
        return []

    async def _answer_claim(self, connection: Connection, claimant: Instance) -> list[str]:
        self._contended |= not self._settled
        if self._holding:
            await connection.publish(self._topics.instance, self._me.model_dump_json())
            return [f"{claimant} wants to publish as node {self._topics.node} too"]
        if claimant.instance < self._me.instance:  # simultaneous claims: one yields
            self._rival = claimant
        return []

    async def _meet_holder(self, connection: Connection, holder: Instance) -> None:
        self._rival = holder
        self._answered.set()
        if not self._holding:
            return
        if (holder.since, holder.instance) < (self._me.since, self._me.instance):
            self._holding = False
            raise RivalError(f"{holder} publishes as node {self._topics.node} as well")
        await connection.publish(self._topics.instance, self._me.model_dump_json())

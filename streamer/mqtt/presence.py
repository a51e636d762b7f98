"""Which process publishes as a node, and what happens when a second one wants to.

Who comes claims the name on the `instance` topic, and who holds it answers; so both know. A holder that died
leaves a retained instance behind, but does not answer.
"""

import asyncio
import os
import socket
import uuid
from datetime import datetime

from pydantic import BaseModel, ConfigDict, ValidationError

from streamer import __version__
from streamer.clock import WallClock
from streamer.mqtt.client import Received
from streamer.mqtt.connection import Connection
from streamer.mqtt.problems import RefusedError
from streamer.mqtt.topics import Topics

ONLINE, OFFLINE, STOPPED = "online", "offline", "stopped"
"""Payloads of the availability topic."""

ECHO, ANSWER = 2.0, 1.5
"""Seconds to wait for the broker to return a claim, and for a holder to answer it."""


class Instance(BaseModel):
    """The payload of the `instance` topic: a process, and whether it claims or holds the name."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    instance: str
    host: str
    process: int
    since: datetime
    version: str
    claim: bool = False

    def __str__(self) -> str:
        """The process as a message names it."""
        return f"process {self.process} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S}"


class RivalError(RefusedError):
    """Another process publishes as this node."""


class Presence:
    """Our claim to the name of a node.

    `told` collects what the user should hear.
    """

    def __init__(self, topics: Topics) -> None:
        self.told: list[str] = []
        self._topics = topics
        self._me = Instance(
            instance=uuid.uuid4().hex[:12],
            host=socket.gethostname(),
            process=os.getpid(),
            since=WallClock().now(),
            version=__version__,
        )
        self._holding = False
        self._stale: Instance | None = None
        self._availability = ""
        self._echoed = asyncio.Event()
        self._answered = asyncio.Event()
        self._rival: Instance | None = None

    @property
    def identifier(self) -> str:
        """The MQTT client's name: of this process alone, so that no broker drops one for another."""
        return f"streamer-{self._me.instance}"

    @property
    def topics(self) -> tuple[str, str]:
        """What must be subscribed."""
        return self._topics.availability, self._topics.instance

    def away(self) -> None:
        """The connection is gone, and the name with it."""
        self._holding = False
        self._rival = self._stale = None
        self._availability = ""
        self._echoed.clear()
        self._answered.clear()

    async def claim(self, link: Connection) -> None:
        """Take the name, unless another process that lives has it.

        Raises:
            RivalError: if one has.
        """
        claim = self._me.model_copy(update={"claim": True})
        await link.publish(self._topics.instance, claim.model_dump_json(), retain=False)
        # What was retained arrives before the claim itself comes back.
        if await _within(ECHO, self._echoed):
            other = self._stale is not None and self._stale.instance != self._me.instance
            if self._availability == ONLINE and other:
                await _within(ANSWER, self._answered)
        if self._rival is not None:
            raise RivalError(
                f"{self._rival} publishes as node {self._topics.node} already; "
                "stop it, or choose another name with mqtt.node"
            )
        await link.publish(self._topics.instance, self._me.model_dump_json())
        self._holding = link.will_applies = True
        await link.publish(self._topics.availability, ONLINE)

    async def release(self, link: Connection) -> None:
        """Leave in good order."""
        self._holding = False
        await link.publish(self._topics.instance, "")
        await link.publish(self._topics.availability, STOPPED)
        link.will_applies = False

    async def take(self, link: Connection, message: Received) -> None:
        """Deal with a message to one of `topics`.

        Raises:
            RivalError: if another process has taken the name meanwhile.
        """
        if message.topic == self._topics.availability:
            self._availability = message.payload.decode(errors="replace")
            if self._holding and self._availability != ONLINE:
                # The last will of a connection that is long gone: we are here.
                await link.publish(self._topics.availability, ONLINE)
            return
        try:
            instance = Instance.model_validate_json(message.payload)
        except ValidationError:
            return
        if message.retained:
            self._stale = instance
        elif instance.instance == self._me.instance:
            self._echoed.set()
        elif instance.claim:
            await self._contest(link, instance)
        else:
            await self._meet(link, instance)

    async def _contest(self, link: Connection, claimant: Instance) -> None:
        """Another claims the name."""
        if self._holding:
            self.told.append(f"{claimant} wants to publish as node {self._topics.node} too")
            await link.publish(self._topics.instance, self._me.model_dump_json())
        elif claimant.instance < self._me.instance:  # both come at once: one yields
            self._rival = claimant

    async def _meet(self, link: Connection, holder: Instance) -> None:
        """Another says that it holds the name."""
        self._rival = holder
        self._answered.set()
        if not self._holding:
            return
        if (holder.since, holder.instance) < (self._me.since, self._me.instance):
            self._holding = False
            raise RivalError(f"{holder} publishes as node {self._topics.node} as well")
        await link.publish(self._topics.instance, self._me.model_dump_json())


async def _within(seconds: float, event: asyncio.Event) -> bool:
    try:
        await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return False
    return True

"""Sends what the outbox holds, in order, several ahead of their acknowledgement."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from functools import partial

from streamer.clock import WallClock
from streamer.mqtt.connection import Connection
from streamer.mqtt.outbox import Outbox
from streamer.mqtt.problems import (
    FAILURE,
    NOT_AUTHORIZED,
    QUOTA_EXCEEDED,
    BrokerError,
    refusal,
)
from streamer.mqtt.store import Entry
from streamer.mqtt.topics import Topics
from streamer.settings.tree import Mqtt

PAGE = 200
"""Events read from the outbox at once."""

RECENT = 20_000
"""Acknowledged events remembered at most."""

RESERVE = 3
"""Places in the broker's window that are left to messages that are no events."""

OVERHEAD = 200
"""Bytes that a packet may need beside topic and payload."""

SUSPECT_BYTES, SUSPECT_DROPS = 4096, 3
"""A larger event, whose sending ends the connection so often, is what the broker will not take."""


class Sender:
    """Sends events over one connection after another.

    Args:
        outbox: what to send; acknowledged events are removed.
        topics: where to.
        settings: of MQTT.
        follow: told each event that is sent, perhaps more than once.
        give_up: told an event that will not be delivered, and why.
    """

    def __init__(
        self,
        outbox: Outbox,
        topics: Topics,
        settings: Mqtt,
        *,
        follow: Callable[[Entry], None],
        give_up: Callable[[Entry, str], None],
    ) -> None:
        self._outbox = outbox
        self._topics = topics
        self._settings = settings
        self._follow = follow
        self._give_up = give_up
        self._clock = WallClock()
        self._window = asyncio.Semaphore()
        self._trouble: asyncio.Future[None] = asyncio.Future()
        self._in_flight: set[int] = set()
        self._progress = False
        """This connection has brought an acknowledgement."""
        self._recent: deque[tuple[float, Entry]] = deque(maxlen=RECENT)
        """What the broker has acknowledged lately, and when."""
        self._stuck = (0, 0)
        """The event that was alone in flight when the connection broke, and how often it was."""

    async def run(self, link: Connection, caught_up: Callable[[], Awaitable[None]]) -> None:
        """Send until cancelled; `caught_up` is called after each page.

        Raises:
            BrokerError: if the connection is gone, or the broker takes no more for now.
        """
        self._trouble = asyncio.get_running_loop().create_future()
        sending = asyncio.ensure_future(self._send(link, caught_up))
        either: set[asyncio.Future[None]] = {sending, self._trouble}
        try:
            done, _ = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                future.result()
        finally:
            sending.cancel()
            self._trouble.cancel()
            await asyncio.gather(sending, self._trouble, return_exceptions=True)

    def broke_off(self) -> bool:
        """Note that the connection is gone; tell whether it was of use."""
        if len(self._in_flight) == 1:
            (only,) = self._in_flight
            stuck, drops = self._stuck
            self._stuck = (only, drops + 1 if only == stuck else 1)
        return self._progress or not self._in_flight

    async def _send(self, link: Connection, caught_up: Callable[[], Awaitable[None]]) -> None:
        size = max(1, min(self._settings.in_flight, link.receive_maximum - RESERVE))
        self._window = asyncio.Semaphore(size)
        self._progress = False
        # One of those may be why the connection broke: alone it will show.
        suspects, self._in_flight = self._in_flight, set()
        # What was acknowledged lately a broker that crashed may not have handed on.
        again = [entry for _, entry in self._lately()]
        cursor = 0
        while True:
            page = await self._outbox.fetch(cursor, PAGE)
            cursor = page[-1].id if page else cursor
            for entry in sorted(again + page, key=lambda entry: entry.id):
                self._follow(entry)
                topic = self._topics.event(entry.session, entry.type)
                if reason := self._unsendable(link, topic, entry):
                    self._give_up(entry, reason)
                    continue
                alone = entry.id in suspects
                await self._take(size if alone else 1)
                self._in_flight.add(entry.id)
                link.send(topic, entry.payload, partial(self._acknowledged, entry, self._window))
                if alone:
                    await self._take(1)  # acknowledged
                    for _ in range(size):
                        self._window.release()
            again = []
            await caught_up()
            if not page:
                await self._outbox.added()

    async def _take(self, places: int) -> None:
        for _ in range(places):
            await self._window.acquire()

    def _lately(self) -> deque[tuple[float, Entry]]:
        oldest = self._clock.seconds() - self._settings.repeat
        while self._recent and self._recent[0][0] < oldest:
            self._recent.popleft()
        return self._recent

    def _unsendable(self, link: Connection, topic: str, entry: Entry) -> str:
        size = len(topic.encode()) + len(entry.payload) + OVERHEAD
        if link.maximum_packet is not None and size > link.maximum_packet:
            return f"larger than the broker's limit of {link.maximum_packet} bytes"
        stuck, drops = self._stuck
        if entry.id == stuck and drops >= SUSPECT_DROPS and len(entry.payload) > SUSPECT_BYTES:
            return f"{len(entry.payload)} bytes, and the broker drops the connection each time"
        return ""

    def _acknowledged(self, entry: Entry, window: asyncio.Semaphore, code: int, name: str) -> None:
        window.release()
        if code < FAILURE:
            self._in_flight.discard(entry.id)
            self._outbox.remove(entry.id)
            self._progress = True
            self._lately().append((self._clock.seconds(), entry))
            return
        topic = self._topics.event(entry.session, entry.type)
        problem: BrokerError = refusal(code, f"publishing to {topic}: {name.lower()}")
        if code not in {NOT_AUTHORIZED, QUOTA_EXCEEDED}:
            self._in_flight.discard(entry.id)
            self._give_up(entry, str(problem))
        elif not self._trouble.done():
            # Not this event's fault: keep it, and those behind it.
            self._trouble.set_exception(problem)

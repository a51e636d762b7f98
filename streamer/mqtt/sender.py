"""Send the outbox's events in order, several ahead of their acknowledgement."""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from functools import partial

from streamer.clock import Clock, WallClock
from streamer.mqtt.connection import Connection
from streamer.mqtt.database import StoredEvent
from streamer.mqtt.outbox import Outbox
from streamer.mqtt.problems import FAILURE, NOT_AUTHORIZED, QUOTA_EXCEEDED, BrokerError, refusal
from streamer.mqtt.topics import Topics

PAGE = 200
"""Events read from the outbox at once."""

IN_FLIGHT = 100
"""Events sent ahead of their acknowledgement."""

REPEAT = 5.0
"""Seconds after its first acknowledgement in which an event is sent again over a new connection."""

RECENT = 20_000
"""Acknowledged events kept for that, at most."""

RESERVE = 3
"""Places in the broker's window left to messages that are not events."""

OVERHEAD = 200
"""Bytes that a packet may need beside topic and payload."""

FATAL_DROPS = 3
"""Times that an event, alone in flight, may break the connection before it is given up."""

FATAL_WITHIN = 5.0
"""Seconds after sending an event in which a break counts as its fault; a silent broker takes longer."""

CALM = 0.5
"""Seconds that a connection lasts before an event that may have broken the one before is sent again: a broker that
crashes again and again breaks it without that event."""


class Sender:
    """Sends events over one connection after another, each at most once per connection.

    Args:
        outbox: the events to send; acknowledged ones are removed.
        topics: the node's topics.
        follow: called with each event that is sent, perhaps more than once.
        give_up: called with an event that will not be delivered, and the reason.
        clock: for the age of acknowledgements.
    """

    def __init__(
        self,
        outbox: Outbox,
        topics: Topics,
        *,
        follow: Callable[[StoredEvent], None],
        give_up: Callable[[StoredEvent, str], None],
        clock: Clock | None = None,
    ) -> None:
        self._outbox = outbox
        self._topics = topics
        self._follow = follow
        self._give_up = give_up
        self._clock = clock or WallClock()
        self._window = asyncio.Semaphore()
        self._trouble: asyncio.Future[None] = asyncio.Future()
        self._in_flight: dict[int, float] = {}
        """When each unacknowledged event was sent."""
        self._useful = False
        """This connection has delivered an event for the first time."""
        self._acknowledged: OrderedDict[int, tuple[float, StoredEvent]] = OrderedDict()
        """Recent events by id, with the time of their first acknowledgement."""
        self._suspects: set[int] = set()
        """One of these may have broken the last connection."""
        self._suspect = (0, 0)
        """The event that was alone in flight when the connection broke, and how often on end."""

    async def run(self, connection: Connection, caught_up: Callable[[], Awaitable[None]]) -> None:
        """Send until cancelled; `caught_up` is called after each page.

        Raises:
            BrokerError: if the connection is lost, or the broker accepts no more for now.
        """
        self._trouble = asyncio.get_running_loop().create_future()
        sending = asyncio.ensure_future(self._send(connection, caught_up))
        either: set[asyncio.Future[None]] = {sending, self._trouble}
        try:
            done, _ = await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            for future in done:
                future.result()
        finally:
            sending.cancel()
            self._trouble.cancel()
            await asyncio.gather(sending, self._trouble, return_exceptions=True)

    def connection_lost(self) -> bool:
        """Note that the connection is lost; give whether it had delivered anything new."""
        in_flight, self._in_flight = self._in_flight, {}
        self._suspects = set(in_flight) or self._suspects
        suspect, drops = self._suspect
        if suspect not in in_flight:
            self._suspect = (0, 0)  # it broke without that event
        if len(in_flight) == 1:
            ((only, sent),) = in_flight.items()
            if self._clock.seconds() - sent <= FATAL_WITHIN:
                self._suspect = (only, drops + 1 if only == suspect else 1)
        useful, self._useful = self._useful, False
        return useful

    async def _send(self, connection: Connection, caught_up: Callable[[], Awaitable[None]]) -> None:
        size = max(1, min(IN_FLIGHT, connection.receive_maximum - RESERVE))
        self._window = asyncio.Semaphore(size)
        # Sent alone, the event that broke the connection will show.
        suspects = frozenset(self._suspects)
        # A broker that crashed may have lost what it acknowledged last.
        self._forget_old()
        repeats = {id_: event for id_, (_, event) in self._acknowledged.items()}
        cursor = 0
        while True:
            page = await self._outbox.fetch(cursor, PAGE)
            cursor = page[-1].id if page else cursor
            events = repeats | {event.id: event for event in page}
            for id_ in sorted(events):
                await self._send_event(connection, events[id_], size if id_ in suspects else 1)
            repeats = {}
            await caught_up()
            if not page:
                await self._outbox.added()

    async def _send_event(self, connection: Connection, event: StoredEvent, places: int) -> None:
        """Send an event that takes some places of the window; all of them: alone, until acknowledged."""
        self._follow(event)
        topic = self._topics.event(event.session, event.type)
        if reason := self._unsendable(connection, topic, event):
            self._give_up(event, reason)
            return
        window = self._window
        await _acquire(window, places)
        if event.id == self._suspect[0]:
            await asyncio.sleep(CALM)
        self._in_flight[event.id] = self._clock.seconds()
        connection.send(topic, event.payload, partial(self._on_acknowledged, event, window))
        if places > 1:
            await window.acquire()
            _release(window, places)

    def _forget_old(self) -> None:
        oldest = self._clock.seconds() - REPEAT
        while self._acknowledged:
            id_, (first, _) = next(iter(self._acknowledged.items()))
            if first >= oldest and len(self._acknowledged) <= RECENT:
                break
            del self._acknowledged[id_]

    def _unsendable(self, connection: Connection, topic: str, event: StoredEvent) -> str:
        size = len(topic.encode()) + len(event.payload) + OVERHEAD
        if connection.maximum_packet is not None and size > connection.maximum_packet:
            return f"larger than the broker's limit of {connection.maximum_packet} bytes"
        suspect, drops = self._suspect
        if event.id == suspect and drops >= FATAL_DROPS:
            return f"{len(event.payload)} bytes; the broker dropped the connection {drops} times"
        return ""

    def _on_acknowledged(
        self, event: StoredEvent, window: asyncio.Semaphore, code: int, name: str
    ) -> None:
        window.release()
        if code < FAILURE:
            self._in_flight.pop(event.id, None)
            if event.id == self._suspect[0]:
                self._suspect = (0, 0)
            self._outbox.remove(event.id)
            if event.id not in self._acknowledged:
                self._useful = True
                self._acknowledged[event.id] = self._clock.seconds(), event
                self._forget_old()
            return
        topic = self._topics.event(event.session, event.type)
        problem: BrokerError = refusal(code, f"publishing to {topic}: {name.lower()}")
        if code not in {NOT_AUTHORIZED, QUOTA_EXCEEDED}:
            self._in_flight.pop(event.id, None)
            self._give_up(event, str(problem))
        elif not self._trouble.done():
            # Not this event's fault: keep it, and those behind it.
            self._trouble.set_exception(problem)


async def _acquire(window: asyncio.Semaphore, places: int) -> None:
    for _ in range(places):
        await window.acquire()


def _release(window: asyncio.Semaphore, places: int) -> None:
    for _ in range(places):
        window.release()

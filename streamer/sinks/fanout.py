"""The one place where events get their number and time and leave for the sinks."""

import logging
from collections import deque
from typing import Any

from streamer import events
from streamer.clock import Clock
from streamer.runtime.queues import BoundedQueue, Closed
from streamer.sinks import Sink

log = logging.getLogger(__name__)


class Outlet:
    """Numbers events and hands each to every sink, through a queue of its own.

    A replay waits for a slow sink. Live audio cannot: what a sink has no room for is dropped for that
    sink, and an `error` event says how much, as soon as there is room again.
    """

    def __init__(self, session: str, clock: Clock, sinks: int, *, limit: int, wait: bool) -> None:
        self.session = session
        self._clock = clock
        self._wait = wait
        self._queues = [BoundedQueue[events.Event](limit) for _ in range(sinks)]
        self._dropped = [0] * sinks
        self._seq = 0
        self._reports: deque[tuple[str, str]] = deque()
        self.errors = 0

    async def emit(self, kind: type[Any], **fields: Any) -> None:
        """Make an event and let it go."""
        event: events.Event = kind(
            session=self.session, seq=self._seq, time=self._clock.now(), **fields
        )
        self._seq += 1
        for index, waiting in enumerate(self._queues):
            if self._wait:
                try:
                    await waiting.put(event)
                except Closed:
                    continue
            elif not waiting.offer(event):
                self._dropped[index] += 1

    async def error(self, part: str, message: str) -> None:
        """Say that a part failed."""
        self.errors += 1
        log.warning("%s: %s", part, message)
        await self.emit(events.Error, part=part, message=message)

    def report(self, sink: Sink, message: str) -> None:
        """Keep what a sink has to tell until `emit_reports`: it must not wait for its own queue."""
        self._reports.append((_name(sink), message))

    async def emit_reports(self) -> None:
        """Make `error` events of what sinks have told."""
        while self._reports:
            await self.error(*self._reports.popleft())

    def close(self) -> None:
        """No more events; the sinks finish what is theirs."""
        for waiting in self._queues:
            waiting.close()

    async def drain(self, index: int, sink: Sink) -> None:
        """Bring a sink its events until the outlet is closed. A sink that fails is given up."""
        waiting = self._queues[index]
        try:
            async for event in waiting:
                await sink.emit(event)
                if self._dropped[index] and waiting.weight == 0:
                    count, self._dropped[index] = self._dropped[index], 0
                    await self.error(_name(sink), f"too slow: {count} events were dropped for it")
        except (OSError, ValueError) as error:
            waiting.close()
            await self.error(_name(sink), f"failed and gets no more events: {error}")


def _name(sink: Sink) -> str:
    return f"sink {type(sink).__name__.removesuffix('Sink').lower()}"

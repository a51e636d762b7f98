"""The fan-out: events get their number and time here, and leave for every sink."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import AsyncExitStack
from functools import partial
from types import TracebackType
from typing import Any, Self

from streamer import events
from streamer.clock import Clock
from streamer.control import Control
from streamer.runtime.queues import BoundedQueue, Closed
from streamer.sinks import BatchSink, ReportingSink, Sink
from streamer.text import well_formed

log = logging.getLogger(__name__)

STUCK = 0.75
"""Seconds for which a sink may still be busy with one event after a signal asked the conversation to end."""
_QUEUE = 1000
"""Events that a sink may be behind, if nothing else is said."""
_SEVERAL = 64
"""Events that a sink which takes several at a time is given at once, at most."""
LAST_WAIT = 0.75
"""Seconds that the sinks together have for what still waits when such a conversation has ended."""


class EventBus:
    """Numbers events and hands each to every sink, through a queue of its own.

    An asynchronous context manager that enters and leaves the sinks. A replay waits for a slow sink. Live audio cannot:
    events that a sink has no room for are dropped for that sink, and an `error` event says how many as soon as there is
    room again. A sink that raises gets no more events: an `error` event says so, the others go on. When the last sink
    is lost, the conversation is stopped.

    Args:
        session: The id of the conversation.
        clock: The time of the events.
        sinks: Where the events go.
        control: Of the conversation.
        limit: Events that a sink may be behind.
        wait: Whether the source can be made to wait.
        follow: Returns the fields of the alerts that an event raises or ends; they are emitted right behind it.
    """

    def __init__(
        self,
        session: str,
        clock: Clock,
        sinks: Sequence[Sink],
        control: Control,
        *,
        limit: int = _QUEUE,
        wait: bool,
        follow: Callable[[events.Event], Iterable[dict[str, Any]]] = lambda _: (),
    ) -> None:
        self.session = well_formed(session)
        self.errors = 0
        self.lost: list[str] = []
        """The sinks that failed."""
        self._clock = clock
        self._control = control
        self._wait = wait
        self._follow = follow
        self._deliveries = [_Delivery(sink, limit) for sink in sinks]
        self._seq = 0
        self._order = asyncio.Lock()
        self._reports: deque[tuple[str, str]] = deque()
        self._ended = False
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Open the sinks.

        Raises:
            UserError: One cannot be opened.
        """
        async with self._stack as stack:
            for delivery in self._deliveries:
                await delivery.sink.__aenter__()
                stack.push_async_exit(partial(self._leave, delivery))
                if isinstance(delivery.sink, ReportingSink):
                    delivery.sink.report = partial(self.report, delivery.sink)
            stack.enter_context(self._control.on_stop(self._stopping))
            for delivery in self._deliveries:
                delivery.task = asyncio.create_task(self._deliver(delivery), name=delivery.name)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        async with self._stack:
            try:
                for delivery in self._deliveries:
                    delivery.queue.close()
                if exc is None:
                    await self._finish()
            finally:
                tasks = [delivery.task for delivery in self._deliveries if delivery.task]
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def emit(self, kind: type[Any], **fields: Any) -> None:
        """Make an event and hand it to every sink."""
        async with self._order:
            event = await self._make(kind, fields)
            for alert in self._follow(event):
                self._follow(await self._make(events.Alert, alert))

    async def _make(self, kind: type[Any], fields: dict[str, Any]) -> events.Event:
        event: events.Event = kind(
            session=self.session,
            seq=self._seq,
            time=self._clock.now(),
            **{name: _safe(value) for name, value in fields.items()},
        )
        self._seq += 1
        self._ended |= isinstance(event, events.SessionEnded)
        for delivery in self._deliveries:
            await self._hand(delivery, event)
        return event

    async def error(self, part: str, message: str) -> None:
        """Report that a part failed; once the session has ended, in the log only."""
        self.errors += 1
        log.warning("%s: %s", part, message)
        if not self._ended:
            await self.emit(events.Error, part=part, message=message)

    def report(self, sink: Sink, message: str) -> None:
        """Keep what a sink reports until `emit_reports`: it must not wait for its own queue."""
        self._reports.append((sink_name(sink), message))

    async def emit_reports(self) -> None:
        """Make `error` events of what sinks have reported."""
        while self._reports:
            await self.error(*self._reports.popleft())

    async def _hand(self, delivery: "_Delivery", event: events.Event) -> None:
        if not self._wait:
            delivery.dropped += not delivery.queue.offer(event)
            return
        try:
            await delivery.queue.put(event)
        except Closed:
            return

    async def _deliver(self, delivery: "_Delivery") -> None:
        """Bring a sink its events until the bus is closed, or the sink fails."""
        loop = asyncio.get_running_loop()
        sink = delivery.sink
        batching = sink if isinstance(sink, BatchSink) else None
        try:
            async for several in delivery.queue.several(_SEVERAL if batching else 1):
                delivery.since = loop.time()
                await (batching.emit_all(several) if batching else sink.emit(several[0]))
                delivery.since = None
                if delivery.dropped and delivery.queue.weight == 0 and not delivery.lost:
                    count, delivery.dropped = delivery.dropped, 0
                    message = f"too slow: {count} events were dropped for it"
                    await self.error(delivery.name, message)
        except Exception as error:  # noqa: BLE001 - one sink never ends the conversation of the others
            await self._lose(delivery, error)

    async def _lose(self, delivery: "_Delivery", error: Exception) -> None:
        """Give a sink up."""
        if delivery.lost:
            return
        delivery.lost = True
        delivery.queue.close()
        self.lost.append(delivery.name)
        log.debug("%s failed", delivery.name, exc_info=error)
        if isinstance(error, BrokenPipeError):
            message = "its reader has gone; it gets no more events"
        else:
            reason = " ".join(str(error).split()) or type(error).__name__
            message = f"failed and gets no more events: {reason}"
        await self.error(delivery.name, message)
        if all(each.lost for each in self._deliveries if each.counts):
            self._control.stop("failed")

    async def _leave(
        self,
        delivery: "_Delivery",
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close a sink; one that cannot deliver its last is a lost one."""
        try:
            await delivery.sink.__aexit__(exc_type, exc, traceback)
        except Exception as error:  # noqa: BLE001 - the others are closed all the same
            await self._lose(delivery, error)
        while self._reports:
            log.warning("%s: %s", *self._reports.popleft())

    def _stopping(self) -> None:
        """Bound the wait for sinks that are stuck when a signal asks the conversation to end."""
        if self._control.stopped not in ("finished", "failed"):
            loop = asyncio.get_running_loop()
            loop.call_later(STUCK, self._lose_stuck, loop.time())

    def _lose_stuck(self, moment: float) -> None:
        for delivery in self._deliveries:
            if delivery.since is not None and delivery.since <= moment and delivery.task:
                delivery.task.cancel()
                delivery.closing = asyncio.ensure_future(self._lose(delivery, _stuck(delivery)))

    async def _finish(self) -> None:
        """Wait until the sinks have everything; not for long once a signal has come."""
        tasks = [delivery.task for delivery in self._deliveries if delivery.task]
        if not tasks:
            return
        stopped = asyncio.Event()
        if self._control.stopped not in (None, "finished", "failed"):
            stopped.set()
        with self._control.on_stop(stopped.set):
            signalled = asyncio.create_task(_set(stopped))
            delivered = asyncio.create_task(_all(tasks))
            await asyncio.wait({delivered, signalled}, return_when=asyncio.FIRST_COMPLETED)
            delivered.cancel()
            signalled.cancel()
        await asyncio.wait(tasks, timeout=LAST_WAIT)
        for delivery in self._deliveries:
            if delivery.task and not delivery.task.done():
                delivery.task.cancel()
                await self._lose(delivery, _stuck(delivery))


class _Delivery:
    """A sink, and the events that wait for it."""

    def __init__(self, sink: Sink, limit: int) -> None:
        self.sink = sink
        self.name = sink_name(sink)
        self.counts: bool = getattr(sink, "delivers", True)
        self.queue = BoundedQueue[events.Event](limit)
        self.dropped = 0
        self.lost = False
        self.since: float | None = None
        """When it was handed the event that it is busy with, by the event loop's time."""
        self.task: asyncio.Task[None] | None = None
        self.closing: asyncio.Future[None] | None = None


def sink_name(sink: Sink) -> str:
    """Return the name of a sink in `error` events."""
    return f"sink {type(sink).__name__.removesuffix('Sink').lower()}"


async def _all(tasks: "Sequence[asyncio.Task[None]]") -> None:
    await asyncio.wait(tasks)


async def _set(event: asyncio.Event) -> None:
    await event.wait()


def _stuck(delivery: _Delivery) -> TimeoutError:
    return TimeoutError(
        f"stuck when the conversation had to end, {delivery.queue.weight:.0f} waited"
    )


def _safe(value: Any) -> Any:
    """Return text that is sure to be UTF-8, whatever the names of files are."""
    if isinstance(value, str):
        return well_formed(value)
    if isinstance(value, list):
        return [_safe(each) for each in value]
    return value

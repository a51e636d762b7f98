"""Base of sinks that deliver alerts, one after the other, beside the stream of events."""

import asyncio
import contextlib
import logging
from typing import Self

from streamer.events import Alert, Event

log = logging.getLogger(__name__)

_WAITING = 100
"""Alerts that may wait; more are dropped, and that is reported."""


class AlertSink:
    """Delivers alerts in a task of its own, so that a slow receiver delays no event.

    Args:
        max_wait: seconds that deliveries may still take once the conversation is over.
    """

    def __init__(self, max_wait: float) -> None:
        self.report = log.warning
        self._max_wait = max_wait
        self._waiting: asyncio.Queue[Alert] = asyncio.Queue(_WAITING)
        self._undelivered = 0
        self._worker: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._worker = asyncio.create_task(self._work())
        return self

    async def __aexit__(self, *exc: object) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(self._max_wait):
                await self._waiting.join()
        if self._undelivered:
            self.report(f"{self._undelivered} alerts could not be delivered in time")
        if self._worker:
            self._worker.cancel()
            await asyncio.gather(self._worker, return_exceptions=True)

    async def emit(self, event: Event) -> None:
        """Take an event; alerts are queued, all others are not for this sink."""
        if isinstance(event, Alert) and event.active:
            try:
                self._waiting.put_nowait(event)
                self._undelivered += 1
            except asyncio.QueueFull:
                self.report(f"too many alerts wait: {event.rule} is dropped")

    async def deliver(self, alert: Alert) -> str:
        """Deliver an alert; return what went wrong, or nothing."""
        raise NotImplementedError

    async def _work(self) -> None:
        while True:
            alert = await self._waiting.get()
            if problem := await self.deliver(alert):
                self.report(f"alert {alert.rule}: {problem}")
            self._undelivered -= 1
            self._waiting.task_done()

"""Notify systemd that the service is ready and alive (`Type=notify`, `WatchdogSec=`)."""

import asyncio
import contextlib
import logging
import os
import socket
from typing import Self

from streamer import events
from streamer.registry import Plugin, SinkContext

log = logging.getLogger(__name__)


class Systemd:
    """Tells systemd that a service is ready, alive as long as the event loop turns, and stopping."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._interval = _watchdog_seconds() / 2
        self._alive: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        if self._interval and self._address:
            self._alive = asyncio.create_task(self._keep_alive())
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._alive:
            self._alive.cancel()
            await asyncio.gather(self._alive, return_exceptions=True)

    async def _keep_alive(self) -> None:
        while True:
            self.tell("WATCHDOG=1")
            await asyncio.sleep(self._interval)

    def tell(self, *lines: str) -> None:
        """Send lines such as READY=1, if systemd started this process and expects them."""
        if not self._address:
            return
        path = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as connection:
                connection.sendto("\n".join(lines).encode(), path)
        except OSError as error:
            log.warning("systemd cannot be notified: %s", error)


class SystemdSink(Systemd):
    """Ready with the first event of a conversation, stopping with the last."""

    delivers = False
    """Nobody reads events here: a conversation does not go on for this sink alone."""

    async def emit(self, event: events.Event) -> None:
        """Tell what matters to systemd, and in words to `systemctl status`."""
        match event:
            case events.SessionStarted():
                self.tell("READY=1", f"STATUS=listening to {event.source}")
            case events.Gap():
                self.tell(f"STATUS=listening; last gap: {event.reason}, {event.channel}")
            case events.SessionEnded():
                self.tell("STOPPING=1", f"STATUS={event.reason}")


def _watchdog_seconds() -> float:
    """Return what `WatchdogSec=` says; 0 if nothing, or if it is another process's."""
    with contextlib.suppress(ValueError):
        if int(os.environ.get("WATCHDOG_PID", os.getpid())) == os.getpid():
            return int(os.environ.get("WATCHDOG_USEC", "0")) / 1e6
    return 0.0


def _make(*, context: SinkContext) -> SystemdSink | None:
    """Return a sink if systemd started this process and expects notifications."""
    return SystemdSink() if context.control and "NOTIFY_SOCKET" in os.environ else None


PLUGIN = Plugin(_make)

"""All conversations of a server: started, limited, found, ended."""

import asyncio
import contextlib
import logging
import math
import re
import secrets
import statistics
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from streamer.api import Engine
from streamer.clock import WallClock, within
from streamer.control import Control, LiveStatus
from streamer.conversation.pipeline import Outcome
from streamer.errors import UserError
from streamer.runtime.pressure import BUSY, FULL
from streamer.sinks import Sink
from streamer.sinks.metrics import Metrics, MetricsSink
from streamer.sources import AudioSource, channel_names
from streamer.web.broadcast import Broadcast

log = logging.getLogger(__name__)

MAX_CHANNELS = 8
_FINISHED = 50
"""Finished conversations that can still be looked at."""
_LAST_EVENTS = 1.0
"""Seconds that watchers have to receive the last events when the server is stopped."""
_BEHIND, _BEHIND_FULL = 0.25, 0.02
"""Shares of `live.max_lag` that half of the live conversations may be behind before no more are taken: at any time, and
where a recording keeps the workers busy."""
_APART = 2.0
"""Seconds between two conversations that are taken while the workers are busy: what the first costs shows by then."""
_CROWD = 10.0
"""Seconds after a refusal in which that holds, too: those who were refused come back all at once."""
_ENDING = 5.0
"""Seconds in which a conversation ends."""
_SESSION = re.compile(r"\w[\w.:@-]{0,99}")
_CHANNEL = re.compile(r"[^\x00-\x1f\x7f/+#\ud800-\udfff]{1,60}")


class BusyError(Exception):
    """No further conversation can be taken now."""


@dataclass(eq=False)
class Running:
    """One conversation, running or finished."""

    session: str
    source: AudioSource
    began: datetime
    control: Control = field(default_factory=Control)
    status: LiveStatus = field(default_factory=LiveStatus)
    broadcast: Broadcast = field(default_factory=Broadcast)
    task: "asyncio.Task[Outcome] | None" = None
    report: str = field(default_factory=lambda: secrets.token_urlsafe(16))
    """Name of its report: nobody finds it who may not watch the conversation."""

    @property
    def finished(self) -> bool:
        """Whether it is over."""
        return self.task is not None and self.task.done()


class Hub:
    """Owns the conversations of a server; one engine serves all.

    Args:
        engine: the models.
        sinks: makes the sinks of a conversation beside its broadcast: files, MQTT.
        most: conversations at a time.
    """

    def __init__(
        self,
        engine: Engine,
        sinks: Callable[[Control, LiveStatus], Sequence[Sink]],
        *,
        most: int,
    ) -> None:
        self._engine = engine
        self._sinks = sinks
        self._most = most
        self._running: dict[str, Running] = {}
        self._finished: deque[Running] = deque(maxlen=_FINISHED)
        self._closing = asyncio.Event()
        self._taken = self._refused = -math.inf
        """When a conversation was begun last, and when one was refused as workers were busy, by the monotonic clock."""
        self.metrics = Metrics()
        self.metrics.show_pools(engine.runtime.statistics)
        self.changed = asyncio.Event()
        """Set whenever a conversation begins or ends."""

    @property
    def running(self) -> Mapping[str, Running]:
        """The running conversations by session."""
        return self._running

    @property
    def closing(self) -> bool:
        """Whether the server is being stopped."""
        return self._closing.is_set()

    async def pause(self, seconds: float) -> None:
        """Wait, or until the server is being stopped."""
        await within(seconds, self._closing)

    @property
    def conversations(self) -> list[Running]:
        """All that can be looked at, running ones first."""
        return [*self._running.values(), *reversed(self._finished)]

    def find(self, session: str) -> Running | None:
        """Find a conversation, running or finished."""
        return next((c for c in self.conversations if c.session == session), None)

    def find_report(self, name: str) -> Running | None:
        """Find a conversation by the name of its report."""
        return next((c for c in self.conversations if c.report == name), None)

    def name_session(self, wanted: str | None, kind: str) -> str:
        """Check the id that a client wishes for, or make one up.

        Raises:
            UserError: if the id is malformed or in use.
        """
        if wanted is None:
            return f"{kind}-{datetime.now(UTC):%Y%m%d-%H%M%S}-{secrets.token_hex(3)}"
        if not _SESSION.fullmatch(wanted):
            raise UserError("session: expected 1 to 100 letters, digits or . : @ - _")
        if wanted in self._running:
            raise UserError(f"session {wanted}: is running already")
        return wanted

    async def end(self, session: str) -> bool:
        """End a conversation, if it is running, whose client has come back; return whether there was one."""
        running = self._running.get(session)
        if running and running.task:
            running.control.stop("failed")
            await asyncio.wait({running.task}, timeout=_ENDING)
        return self.find(session) is not None

    def start(self, session: str, source: AudioSource, *, again: bool = False) -> Running:
        """Start a conversation.

        Args:
            session: its id.
            source: its audio.
            again: whether it goes on after a lost connection: what it costs has been taken on before.

        Raises:
            BusyError: if as many run as are allowed, analysis has no time left, or the server is shutting down.
        """
        if self.closing:
            raise BusyError("the server is shutting down")
        if len(self._running) >= self._most:
            raise BusyError(f"{self._most} conversations are running, no more are taken")
        now = time.monotonic()
        if not (again or self._has_time(now)):
            self._refused = now
            raise BusyError("the cores have no time left, no more conversations are taken")
        if self._lag > _BEHIND * self._engine.settings.live.max_lag:
            raise BusyError(
                f"analysis is {self._lag:.1f} s behind, no more conversations are taken"
            )
        self._taken = now
        running = Running(session, source, datetime.now(UTC))
        self._running[session] = running
        running.task = asyncio.create_task(self._run(running), name=f"conversation {session}")
        self._notify()
        return running

    def _has_time(self, now: float) -> bool:
        """Whether the workers have time for one more."""
        pressure = self._engine.runtime.pressure
        if any(not each.source.info.live for each in self._running.values()):
            # Recordings take what time there is: that says nothing about live conversations.
            return pressure < FULL or self._lag < _BEHIND_FULL * self._engine.settings.live.max_lag
        one_by_one = pressure == BUSY or now - self._refused < _CROWD
        return pressure < FULL and not (one_by_one and now - self._taken < _APART)

    @property
    def _lag(self) -> float:
        """Seconds that half of the live conversations are behind, or more."""
        live = (each for each in self._running.values() if each.source.info.live)
        return statistics.median_low([each.status.lag for each in live] or [0.0])

    async def _run(self, running: Running) -> Outcome:
        try:
            return await self._engine.run(
                running.source,
                [
                    running.broadcast,
                    MetricsSink(self.metrics, running.status),
                    *self._sinks(running.control, running.status),
                ],
                WallClock(),
                session=running.session,
                control=running.control,
                status=running.status,
            )
        except Exception:
            log.exception("conversation %s failed", running.session)
            raise
        finally:
            running.broadcast.close()
            self._running.pop(running.session, None)
            self._finished.append(running)
            self._notify()

    def _notify(self) -> None:
        self.changed.set()
        self.changed.clear()

    async def close(self, within: float) -> None:
        """End all conversations properly; those that take longer than `within` seconds are cancelled."""
        self._closing.set()
        tasks = [running.task for running in self._running.values() if running.task]
        for running in [*self._running.values()]:
            running.control.stop("terminated")
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=within)
            for task in late:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_EVENTS):
                for running in self._finished:
                    await running.broadcast.read()


def names_of(given: object) -> tuple[str, ...]:
    """Check the channel names in a client's JSON; none: one channel with a name made up.

    Raises:
        UserError: if they are malformed, too many or not different.
    """
    if given is None:
        return channel_names((), 1, "")
    names = given if isinstance(given, list) else []
    if not 1 <= len(names) <= MAX_CHANNELS or len({str(name) for name in names}) < len(names):
        raise UserError(f"channels: expected a list of 1 to {MAX_CHANNELS} different names")
    for name in names:
        if not isinstance(name, str) or not _CHANNEL.fullmatch(name):
            raise UserError("channels: a name has 1 to 60 characters, none of them / + #")
    return tuple(names)

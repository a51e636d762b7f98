"""Undelivered events, from before they are sent until the broker has acknowledged them.

One store for a node at a broker, shared by consecutive runs. One thread owns it; events put and removed while it
is busy go into one transaction.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from streamer.mqtt.age import AgeClock
from streamer.mqtt.database import StoredEvent
from streamer.mqtt.store import Store

_T = TypeVar("_T")


class Outbox:
    """Events that wait for delivery.

    Args:
        file: the database; its directory is made if need be.
        limit: bytes that may wait.
        max_age: seconds that an event may wait.
        problem: gets a line about a failure; the outbox goes on.
        given_up: gets the number of events, by type, that will not be delivered, and the reason.
        clock: the clock that events age by.
    """

    def __init__(
        self,
        file: Path,
        *,
        limit: float,
        max_age: float,
        problem: Callable[[str], None],
        given_up: Callable[[Counter[str], str], None],
        clock: AgeClock | None = None,
    ) -> None:
        self._store = Store(
            file,
            limit=limit,
            max_age=max_age,
            clock=clock or AgeClock(),
            problem=partial(self._call, problem),
            given_up=partial(self._call, given_up),
            waiting=partial(self._call, self._count),
        )
        self._owner = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._added: deque[StoredEvent] = deque()
        self._removed: deque[int] = deque()
        self._scheduled = False
        self._news = asyncio.Event()
        self._waiting = 0

    @property
    def on_disk(self) -> bool:
        """False if events wait in memory, since the disk failed."""
        return self._store.on_disk

    @property
    def waiting(self) -> int:
        """Number of events that are not yet delivered."""
        return self._waiting

    @property
    def behind(self) -> int:
        """Number of events that are not yet stored."""
        return len(self._added)

    async def open(self) -> None:
        """Lock and open the file; a former run's events are in it.

        Raises:
            UserError: if another process holds it.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._in_thread(self._store.open)
        except BaseException:
            self._owner.shutdown(wait=False)
            raise
        self._schedule()  # gives up events that are too old

    async def adopt(self, files: Iterable[Path]) -> int:
        """Take over the events of other nodes' outboxes that no process holds; give their number."""
        return sum([await self._in_thread(self._store.adopt, file) for file in files])

    async def close(self) -> None:
        """Store the remaining events, and unlock the file."""
        await self._in_thread(self._close)
        self._owner.shutdown()

    def put(self, entry: StoredEvent) -> None:
        """Store an event soon; `behind` is the number not yet stored."""
        self._waiting += 1
        self._added.append(entry)
        self._schedule()

    def remove(self, id_: int) -> None:
        """Remove a delivered event."""
        self._removed.append(id_)
        self._schedule()

    async def fetch(self, after: int, limit: int) -> list[StoredEvent]:
        """Return the next events in order, at most `limit`; empty if there are none."""
        self._news.clear()
        return await self._in_thread(self._store.fetch, after, limit)

    async def added(self) -> None:
        """Wait until an event has been stored since the last `fetch`."""
        await self._news.wait()

    async def stored(self) -> None:
        """Wait until all events put so far are stored."""
        await self._in_thread(_nothing)

    # The owner thread.

    async def _in_thread(self, function: Callable[..., _T], *arguments: Any) -> _T:
        return await self._loop.run_in_executor(self._owner, function, *arguments)

    def _schedule(self) -> None:
        if not self._scheduled:
            self._scheduled = True
            self._owner.submit(self._commit)

    def _commit(self) -> None:
        self._scheduled = False
        added, removed = _drain(self._added), _drain(self._removed)
        self._store.write(added, removed)
        if added:
            self._call(self._news.set)

    def _close(self) -> None:
        self._commit()
        self._store.close()

    def _count(self, change: int) -> None:
        self._waiting += change

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call something in the loop."""
        with suppress(RuntimeError):  # the loop is closed
            self._loop.call_soon_threadsafe(function, *arguments)


def _nothing() -> None:
    """Run after everything submitted before."""


def _drain(queue: deque[_T]) -> list[_T]:
    items: list[_T] = []
    while True:
        try:
            items.append(queue.popleft())
        except IndexError:
            return items

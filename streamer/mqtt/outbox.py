"""What is not yet delivered: kept on disk, from before it is sent until the broker has it.

One store for a node at a broker, shared by consecutive runs. One thread owns it; what is put and removed
meanwhile goes into one transaction.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from streamer.clock import Clock, WallClock
from streamer.mqtt.store import Entry, Store

_T = TypeVar("_T")


class Outbox:
    """Events that wait for delivery.

    Args:
        file: the database; its directory is made if need be.
        limit: bytes that may wait.
        max_age: seconds that an event may wait.
        problem: gets a line about what went wrong; the outbox goes on.
        given_up: gets the number of events, by type, that will not be delivered.
        clock: tells the events' age.
    """

    def __init__(
        self,
        file: Path,
        *,
        limit: float,
        max_age: float,
        problem: Callable[[str], None],
        given_up: Callable[[Counter[str]], None],
        clock: Clock | None = None,
    ) -> None:
        self._store = Store(
            file,
            limit=limit,
            max_age=max_age,
            clock=clock or WallClock(),
            problem=partial(self._call, problem),
            given_up=partial(self._call, given_up),
            waiting=partial(self._call, self._count),
        )
        self._owner = ThreadPoolExecutor(1, thread_name_prefix="outbox")
        self._added: deque[Entry] = deque()
        self._removed: deque[int] = deque()
        self._scheduled = False
        self._stored = asyncio.Event()
        self._waiting = 0

    @property
    def on_disk(self) -> bool:
        """False if events wait in memory, since the disk does not take them."""
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
        """Lock and open the file; what a former run left is there.

        Raises:
            UserError: if another process has it.
        """
        self._loop = asyncio.get_running_loop()
        try:
            await self._in_thread(self._store.open)
        except BaseException:
            self._owner.shutdown(wait=False)
            raise
        self._schedule()  # gives up what is too old

    async def close(self) -> None:
        """Store what is left, and unlock the file."""
        await self._in_thread(self._close)
        self._owner.shutdown()

    def put(self, entry: Entry) -> None:
        """Store an event soon; `behind` tells how many wait for that."""
        self._waiting += 1
        self._added.append(entry)
        self._schedule()

    def remove(self, id_: int) -> None:
        """Forget an event that has been delivered."""
        self._removed.append(id_)
        self._schedule()

    async def fetch(self, after: int, limit: int) -> list[Entry]:
        """The next events in order, at most `limit`; empty if there are none."""
        self._stored.clear()
        return await self._in_thread(self._store.fetch, after, limit)

    async def added(self) -> None:
        """Wait until something has been stored since the last `fetch`."""
        await self._stored.wait()

    async def room(self) -> None:
        """Wait until all that has been put is stored."""
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
            self._call(self._stored.set)

    def _close(self) -> None:
        self._commit()
        self._store.close()

    def _count(self, change: int) -> None:
        self._waiting += change

    def _call(self, function: Callable[..., None], *arguments: Any) -> None:
        """Call something in the loop."""
        with suppress(RuntimeError):  # the loop has gone, and with it whoever wanted to know
            self._loop.call_soon_threadsafe(function, *arguments)


def _nothing() -> None:
    """What comes after all that was asked for before."""


def _drain(queue: deque[_T]) -> list[_T]:
    items: list[_T] = []
    while True:
        try:
            items.append(queue.popleft())
        except IndexError:
            return items

"""A queue between two stages: bounded by weight (seconds of audio, events), and closable."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


class Closed(Exception):  # noqa: N818 - a state, like StopIteration
    """Nothing more can be put."""


@dataclass(frozen=True, slots=True)
class QueueStatistics:
    """Fill of a queue."""

    items: int
    """Items that wait."""
    weight: float
    limit: float
    highest: float
    """Most weight that has waited so far."""


class BoundedQueue(Generic[T]):
    """First in, first out, for the tasks of one event loop.

    Args:
        limit: weight that may wait; a single item always fits, however heavy.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._items: deque[tuple[T, float]] = deque()
        self._weight = 0.0
        self._highest = 0.0
        self._closed = False
        self._filled = asyncio.Event()
        self._emptied = asyncio.Event()

    @property
    def weight(self) -> float:
        """Weight of the items that wait."""
        return self._weight

    def statistics(self) -> QueueStatistics:
        """Return how full the queue is, and was."""
        return QueueStatistics(len(self._items), self._weight, self._limit, self._highest)

    async def put(self, item: T, weight: float = 1.0) -> None:
        """Add an item, once there is room.

        Raises:
            Closed: if the queue is or gets closed.
        """
        while not self._closed and not self._has_room(weight):
            self._emptied.clear()
            await self._emptied.wait()
        if self._closed:
            raise Closed
        self._add(item, weight)

    def offer(self, item: T, weight: float = 1.0) -> bool:
        """Add an item if there is room for it now; return whether there was."""
        if self._closed or not self._has_room(weight):
            return False
        self._add(item, weight)
        return True

    def close(self) -> None:
        """Close: readers drain what is queued, writers get `Closed`."""
        self._closed = True
        self._filled.set()
        self._emptied.set()

    async def several(self, limit: float = math.inf) -> AsyncIterator[list[T]]:
        """Yield the items that wait, `limit` of them at most, each time one arrives."""
        async for item in self:
            items = [item]
            while self._items and len(items) < limit:
                items.append(self._take())
            yield items

    async def __aiter__(self) -> AsyncIterator[T]:
        while True:
            while not self._items and not self._closed:
                self._filled.clear()
                await self._filled.wait()
            if not self._items:
                return
            yield self._take()

    def _take(self) -> T:
        item, weight = self._items.popleft()
        self._weight = self._weight - weight if self._items else 0.0
        self._emptied.set()
        return item

    def _has_room(self, weight: float) -> bool:
        return not self._items or self._weight + weight <= self._limit

    def _add(self, item: T, weight: float) -> None:
        self._items.append((item, weight))
        self._weight += weight
        self._highest = max(self._highest, self._weight)
        self._filled.set()

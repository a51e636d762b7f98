"""Dynamic batching: work of several conversations done in one call wherever it queues up."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class BatchStatistics:
    """Load of a pool of workers."""

    waiting: int
    """Items that wait for a worker."""
    busy: int
    """Calls under way."""
    calls: int
    """Calls begun so far."""
    items: int
    """Items in them."""
    cancelled: int = 0
    """Items that were cancelled before their call began."""
    seconds: float = field(default=0.0, compare=False)
    """Time that the workers were busy with finished calls."""


class Batcher(Generic[T, R]):
    """Batches items that arrive while all workers are busy.

    An item starts immediately if a worker is free; items that arrive while all are busy form the next batch, first in,
    first out. An item submitted with `may_wait` waits up to `max_wait` for others.

    Args:
        executor: where the work is done.
        workers: calls at the same time.
        work: returns for each item, in their order, a result, or the exception that concerns it alone.
        limit: items in one call.
        max_wait: seconds that such an item waits.
    """

    def __init__(
        self,
        executor: Executor,
        workers: int,
        work: Callable[[Sequence[T]], Sequence[R | Exception]],
        *,
        limit: int,
        max_wait: float = 0.0,
    ) -> None:
        self._executor = executor
        self._workers = workers
        self._work = work
        self._limit = limit
        self._max_wait = max_wait
        self._timer: asyncio.TimerHandle | None = None
        self._calls = self._items = self._cancelled = 0
        self._seconds = 0.0
        self._use(None)

    def submit(self, item: T, *, may_wait: bool = False) -> "asyncio.Future[R]":
        """Queue an item; the future gives its result, or the exception that the work returned or raised.

        Args:
            item: the work's argument.
            may_wait: start with the next item submitted without it, at the latest after `max_wait`.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # nobody waits for what an earlier loop left unfinished
            self._use(loop)
        result: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, result))
        if not may_wait:
            self._start()
        elif self._timer is None:
            self._timer = loop.call_later(self._max_wait, self._start)
        return result

    def statistics(self) -> BatchStatistics:
        """Return how busy the workers are."""
        return BatchStatistics(
            waiting=len(self._waiting),
            busy=self._busy,
            calls=self._calls,
            items=self._items,
            cancelled=self._cancelled,
            seconds=self._seconds,
        )

    def _use(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._busy = 0
        self._timer = None
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()

    def _start(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._waiting and self._busy < self._workers:
            count = min(self._limit, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(count)]
            batch = [pair for pair in taken if not pair[1].cancelled()]
            self._cancelled += len(taken) - len(batch)
            if batch and self._loop:
                self._busy += 1
                self._calls += 1
                self._items += len(batch)
                items = [item for item, _ in batch]
                done = self._loop.run_in_executor(self._executor, self._work, items)
                results = [result for _, result in batch]
                done.add_done_callback(partial(self._finish, results, self._loop.time()))

    def _finish(
        self,
        results: list["asyncio.Future[R]"],
        begun: float,
        done: "asyncio.Future[Sequence[R | Exception]]",
    ) -> None:
        self._busy -= 1
        self._seconds += done.get_loop().time() - begun
        if done.cancelled():
            for result in results:
                result.cancel()
        else:
            error = done.exception()
            values = [error] * len(results) if isinstance(error, Exception) else done.result()
            for result, value in zip(results, values, strict=True):
                if result.done():
                    continue
                if isinstance(value, Exception):
                    result.set_exception(value)
                else:
                    result.set_result(value)
        self._start()


def combined(*all_statistics: BatchStatistics) -> BatchStatistics:
    """Add up the statistics of batchers that share their workers."""
    return BatchStatistics(
        waiting=sum(one.waiting for one in all_statistics),
        busy=sum(one.busy for one in all_statistics),
        calls=sum(one.calls for one in all_statistics),
        items=sum(one.items for one in all_statistics),
        cancelled=sum(one.cancelled for one in all_statistics),
        seconds=sum(one.seconds for one in all_statistics),
    )

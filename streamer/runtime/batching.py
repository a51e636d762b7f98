"""Work of several conversations, done in one call wherever it queues up."""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


class Batcher(Generic[T, R]):
    """Hands what comes to a free thread at once; what comes while none is free goes together, first come first.

    So nobody waits for company, unless it is said to have patience, and the busier the threads are, the more is done
    in one call.

    Args:
        executor: where the work is done.
        threads: how many calls there may be at the same time.
        work: gives for each item, in their order, a result, or the exception that is its alone.
        limit: items in one call.
        patience: seconds that a patient item waits for company at most.
    """

    def __init__(
        self,
        executor: Executor,
        threads: int,
        work: Callable[[Sequence[T]], Sequence[R | Exception]],
        *,
        limit: int,
        patience: float = 0.0,
    ) -> None:
        self._executor = executor
        self._threads = threads
        self._work = work
        self._limit = limit
        self._patience = patience
        self._timer: asyncio.TimerHandle | None = None
        self._begin(None)

    def submit(self, item: T, *, patient: bool = False) -> "asyncio.Future[R]":
        """Begin with an item; gives the result for it, or the exception that the work gave or raised.

        Args:
            item: what is to be done.
            patient: it goes with the next item that is not, or when its patience is over.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what another one left unfinished is nobody's any more
            self._begin(loop)
        result: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, result))
        if not patient:
            self._start()
        elif self._timer is None:
            self._timer = loop.call_later(self._patience, self._start)
        return result

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._busy = 0
        self._timer = None
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()

    def _start(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        while self._waiting and self._busy < self._threads:
            count = min(self._limit, len(self._waiting))
            together = [self._waiting.popleft() for _ in range(count)]
            together = [pair for pair in together if not pair[1].cancelled()]
            if together and self._loop:
                self._busy += 1
                items = [item for item, _ in together]
                done = self._loop.run_in_executor(self._executor, self._work, items)
                done.add_done_callback(partial(self._finish, [result for _, result in together]))

    def _finish(
        self,
        results: list["asyncio.Future[R]"],
        done: "asyncio.Future[Sequence[R | Exception]]",
    ) -> None:
        self._busy -= 1
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

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

    So nobody waits for company, and the busier the threads are, the more is done in one call.

    Args:
        executor: where the work is done.
        threads: how many calls there may be at the same time.
        work: gives a result for each item, in their order.
        limit: items in one call.
    """

    def __init__(
        self,
        executor: Executor,
        threads: int,
        work: Callable[[Sequence[T]], list[R]],
        *,
        limit: int,
    ) -> None:
        self._executor = executor
        self._threads = threads
        self._work = work
        self._limit = limit
        self._begin(None)

    async def __call__(self, item: T) -> R:
        """The result for an item.

        Raises:
            Exception: whatever the work raises for it, even alone.
        """
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # what another one left unfinished is nobody's any more
            self._begin(loop)
        result: asyncio.Future[R] = loop.create_future()
        self._waiting.append((item, result))
        self._start()
        return await result

    def _begin(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop
        self._busy = 0
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()

    def _start(self) -> None:
        while self._waiting and self._busy < self._threads:
            together = [
                self._waiting.popleft() for _ in range(min(self._limit, len(self._waiting)))
            ]
            self._hand_over([pair for pair in together if not pair[1].cancelled()])

    def _hand_over(self, together: list[tuple[T, "asyncio.Future[R]"]]) -> None:
        if not together or self._loop is None:
            return
        self._busy += 1
        done = self._loop.run_in_executor(
            self._executor, self._work, [item for item, _ in together]
        )
        done.add_done_callback(partial(self._finish, together))

    def _finish(
        self, together: list[tuple[T, "asyncio.Future[R]"]], done: "asyncio.Future[list[R]]"
    ) -> None:
        self._busy -= 1
        if done.cancelled():
            for _, result in together:
                result.cancel()
        elif error := done.exception():
            if len(together) > 1:  # one is at fault; the others shall not suffer
                for pair in together:
                    self._hand_over([pair])
            elif not together[0][1].done():
                together[0][1].set_exception(error)
        else:
            for (_, result), value in zip(together, done.result(), strict=True):
                if not result.done():
                    result.set_result(value)
        self._start()

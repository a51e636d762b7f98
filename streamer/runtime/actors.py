"""Objects that live where their work is done: in threads of this process, or in processes of their own.

What a conversation's audio goes through keeps a state between two pieces of audio. In one process its threads wait for
each other, as only one at a time runs Python; in processes they do not, but then the state has to stay there.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, Protocol, TypeVar, cast

from streamer.runtime.batching import Batcher, BatchStatistics

if TYPE_CHECKING:
    from streamer_models.contract import AudioStream

_AUDIO_BATCH = 2
"""Conversations whose audio is processed in one call at most: each waits until all of them are done."""

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
R = TypeVar("R")
P = ParamSpec("P")

Make = Callable[["Callable[[], AudioStream]"], T]
"""Makes an object with the factory of the audio streams of new utterances."""

Call = Callable[[], Any]


class Actor(Protocol[T_co]):
    """An object that lives in a worker."""

    async def call(
        self, function: Callable[Concatenate[T_co, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Call a function with the object and further arguments where the object lives; one call at a time."""
        ...

    def stop(self) -> None:
        """Let the object go."""
        ...


class Workers(Protocol):
    """Workers that objects can live in."""

    def start(self, make: Make[T]) -> Actor[T]:
        """Have an object made, in the worker that has the fewest: now, or at its first call."""
        ...

    def statistics(self) -> BatchStatistics:
        """Return how busy the workers are."""
        ...

    def close(self) -> None:
        """End the workers."""
        ...


class Threads:
    """Threads of this process; each object is in all of them.

    Args:
        new_stream: factory of the audio streams of new utterances; None: nothing will live here.
        count: how many.
    """

    def __init__(self, new_stream: "Callable[[], AudioStream] | None", count: int) -> None:
        self._new_stream = new_stream
        self._pool = ThreadPoolExecutor(count, thread_name_prefix="audio")
        self._calls: Batcher[Call, Any] = Batcher(self._pool, count, _call_all, limit=_AUDIO_BATCH)
        self.statistics = self._calls.statistics

    def start(self, make: Make[T]) -> Actor[T]:
        """See `Workers.start`."""
        assert self._new_stream  # noqa: S101 - nothing is made without
        return _InThreads(make(self._new_stream), self._calls)

    def close(self) -> None:
        """See `Workers.close`."""
        self._pool.shutdown(wait=False, cancel_futures=True)


class _InThreads(Generic[T]):
    """See `Actor`."""

    def __init__(self, value: T, calls: Batcher[Call, Any]) -> None:
        self._value = value
        self._calls = calls

    async def call(
        self, function: Callable[Concatenate[T, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        return cast("R", await self._calls.submit(partial(function, self._value, *args, **kwargs)))

    def stop(self) -> None:
        pass


def _call_all(calls: Sequence[Call]) -> list[Any]:
    """Call all; one that fails does not affect the others."""
    results: list[Any] = []
    for call in calls:
        try:
            results.append(call())
        except Exception as error:  # noqa: BLE001 - raised where its conversation waits for it
            results.append(error)
    return results

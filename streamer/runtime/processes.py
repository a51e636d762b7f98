"""Processes that conversations' objects live in: each with models of its own, doing one call after the other."""

import asyncio
import contextlib
import logging
import multiprocessing
import pickle
import signal
import socket
import struct
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from itertools import count
from typing import TYPE_CHECKING, Any, Concatenate, Generic, ParamSpec, TypeVar, cast

from streamer.errors import UserError
from streamer.process import (
    IMPORTED_BEFORE_FORK,
    end_with_parent,
    exempt_from_collection,
    one_thread_per_computation,
)
from streamer.runtime.actors import Actor, Make
from streamer.runtime.batching import BatchStatistics, combined

if TYPE_CHECKING:
    from streamer_models.contract import AudioStream

log = logging.getLogger(__name__)

_LENGTH = struct.Struct("!Q")
"""Before each message, its length in bytes."""
_READY = b"ready"
"""What a process sends once it has loaded the models."""
_DIED = "the process that analysed the audio has died"
_NOT_STARTED = "a process that analyses audio could not be started"
_ENDING = 1.0
"""Seconds that a process has to end by itself."""

T = TypeVar("T")
R = TypeVar("R")
P = ParamSpec("P")

Load = Callable[[], "Callable[[], AudioStream] | None"]
"""Loads the models; returns the factory of the audio streams of new utterances, if there are any."""


class Processes:
    """Processes beside this one; they end with it. They are used from one event loop.

    One that dies takes the conversations along whose objects live in it; another takes its place for the next.

    Args:
        load: called in each process; it must be picklable, as all that is called there.
        number: how many.
    """

    def __init__(self, load: Load, number: int) -> None:
        self._load = load
        self._workers = [_Worker(load) for _ in range(number)]

    def wait(self) -> None:
        """Wait until all have loaded their models.

        Raises:
            UserError: if one of them could not.
        """
        for worker in self._workers:
            worker.wait()

    def start(self, make: Make[T]) -> Actor[T]:
        """See `Workers.start`: at the first call, as many a conversation never has any audio."""
        return _InProcess(self._make, make)

    async def _make(self, make: Make[Any]) -> "_Place":
        """Make an object in the process that has the fewest, of those that have loaded their models."""
        for place, worker in enumerate(self._workers):
            if worker.dead:
                worker.close()
                self._workers[place] = _Worker(self._load)
        connecting = [worker.connect() for worker in self._workers]
        if not (connected := self._connected):
            await asyncio.wait(connecting)
            connected = self._connected
        if not connected:
            raise UserError(_NOT_STARTED)
        worker = min(connected, key=lambda worker: worker.actors)
        return worker, await worker.start(make)

    @property
    def _connected(self) -> "list[_Worker]":
        return [worker for worker in self._workers if worker.connected]

    def statistics(self) -> BatchStatistics:
        """See `Workers.statistics`."""
        return combined(*(worker.statistics() for worker in self._workers))

    def close(self) -> None:
        """See `Workers.close`."""
        for worker in self._workers:
            worker.close()


class _Worker:
    """One process, and the calls that wait for it."""

    def __init__(self, load: Load) -> None:
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload([*IMPORTED_BEFORE_FORK])
        self._socket, theirs = socket.socketpair()
        self._process = context.Process(target=_work, args=(theirs, load), daemon=True)
        self._process.start()
        theirs.close()
        self._writer: asyncio.StreamWriter | None = None
        self._connecting: asyncio.Task[None] | None = None
        self._receiving: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[Any]] = deque()
        """For the results of the calls sent, in their order."""
        self._keys = count()
        self._calls, self._seconds = 0, 0.0
        self.actors = 0
        self._loaded = self.dead = False

    def wait(self) -> None:
        """Wait until it has loaded the models, if nobody has yet."""
        if self._loaded:
            return
        with self._socket.makefile("rb") as stream:
            if stream.read(len(_READY)) != _READY:
                self.dead = True
                raise UserError(_NOT_STARTED)
        self._loaded = True

    @property
    def connected(self) -> bool:
        """Whether calls can be sent."""
        return self._writer is not None and not self.dead

    def connect(self) -> "asyncio.Task[None]":
        """Begin to wait for it and to take results, once for all; return the task that does."""
        if self._connecting is None:
            self._connecting = asyncio.create_task(self._connect())
        return self._connecting

    async def _connect(self) -> None:
        with contextlib.suppress(UserError):  # it is dead then
            await asyncio.to_thread(self.wait)
            reader, self._writer = await asyncio.open_connection(sock=self._socket)
            self._receiving = asyncio.create_task(self._receive(reader, self._writer))

    async def start(self, make: Make[Any]) -> int:
        """Make an object; return the number that it is known by."""
        key = next(self._keys)
        self.actors += 1
        try:
            await self.call(_Actors.start, key, make)
        except BaseException:
            self.stop(key)
            raise
        return key

    async def call(self, method: Callable[..., Any], *args: Any) -> Any:
        """Call a method of the process's `_Actors`."""
        result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._send(method, args)
        self._waiting.append(result)
        return await result

    def stop(self, key: int) -> None:
        self.actors -= 1
        with contextlib.suppress(RuntimeError):  # it has died
            self._send(_Actors.forget, (key,))

    def statistics(self) -> BatchStatistics:
        busy = min(1, len(self._waiting))
        return BatchStatistics(
            waiting=len(self._waiting) - busy,
            busy=busy,
            calls=self._calls,
            items=self._calls,
            seconds=self._seconds,
        )

    def close(self) -> None:
        with contextlib.suppress(OSError):  # it is closed
            self._socket.shutdown(socket.SHUT_RDWR)
        if self._receiving:
            self._receiving.cancel()
        else:
            self._socket.close()
        self._process.join(_ENDING)
        if self._process.is_alive():
            self._process.kill()

    def _send(self, method: Callable[..., Any], args: tuple[Any, ...]) -> None:
        if self.dead or self._writer is None:
            raise RuntimeError(_DIED)
        self._writer.write(_framed((method, args)))

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                (length,) = _LENGTH.unpack(await reader.readexactly(_LENGTH.size))
                content = await reader.readexactly(length)
                self._take(*pickle.loads(content))  # noqa: S301 - from a process of ours
        except Exception as error:  # noqa: BLE001 - it has died, or sent what cannot be read
            log.warning("%s: %r", _DIED, error)
            self.dead = True
            while self._waiting:
                self._take(None, RuntimeError(_DIED), 0.0)
        finally:
            writer.close()

    def _take(self, value: Any, error: Exception | None, seconds: float) -> None:
        """Take the result of the call that was sent first."""
        result = self._waiting.popleft()
        self._calls += 1
        self._seconds += seconds
        if result.done():  # nobody waits for it any more
            return
        if error is None:
            result.set_result(value)
        else:
            result.set_exception(error)


_Place = tuple[_Worker, int]
"""The process that an object lives in, and its number there."""


class _InProcess(Generic[T]):
    """See `Actor`."""

    def __init__(
        self, find: Callable[[Make[T]], Coroutine[Any, Any, _Place]], make: Make[T]
    ) -> None:
        self._find = find
        self._make = make
        self._making = asyncio.Lock()
        self._place: _Place | None = None

    async def call(
        self, function: Callable[Concatenate[T, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        async with self._making:
            place = self._place = self._place or await self._find(self._make)
        worker, key = place
        return cast("R", await worker.call(_Actors.call, key, function, args, kwargs))

    def stop(self) -> None:
        if self._place:
            worker, key = self._place
            worker.stop(key)


class _Actors:
    """The objects that live in a process, by a number."""

    def __init__(self, new_stream: "Callable[[], AudioStream] | None") -> None:
        self._new_stream = new_stream
        self._objects: dict[int, Any] = {}

    def start(self, key: int, make: Make[Any]) -> None:
        assert self._new_stream  # noqa: S101 - nothing is made without
        self._objects[key] = make(self._new_stream)

    def call(
        self, key: int, function: Callable[..., R], args: Sequence[Any], kwargs: dict[str, Any]
    ) -> R:
        return function(self._objects[key], *args, **kwargs)

    def forget(self, key: int) -> None:
        self._objects.pop(key, None)


def _work(connection: socket.socket, load: Load) -> None:
    """Do what arrives over a connection until it is closed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # they are meant for the process that made this one
    end_with_parent()
    one_thread_per_computation()
    try:
        actors = _Actors(load())
    except UserError:  # the process that made this one loads the same models, and says why
        return
    exempt_from_collection()
    with connection, connection.makefile("rwb") as stream:
        stream.write(_READY)
        stream.flush()
        while header := stream.read(_LENGTH.size):
            content = stream.read(*_LENGTH.unpack(header))
            method, args = pickle.loads(content)  # noqa: S301 - from the process that made this one
            began = time.perf_counter()
            value: Any = None
            error: Exception | None = None
            try:
                value = method(actors, *args)
            except Exception as problem:  # noqa: BLE001 - raised where its conversation waits for it
                error = problem
            if method is not _Actors.forget:
                # Not through `multiprocessing`: there torch puts each tensor into a file of its own.
                stream.write(_framed((value, error, time.perf_counter() - began)))
                stream.flush()


def _framed(message: object) -> bytes:
    content = pickle.dumps(message, pickle.HIGHEST_PROTOCOL)
    return _LENGTH.pack(len(content)) + content

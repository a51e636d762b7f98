"""Writing to a file, pipe or terminal off the event loop, so that nothing else ever waits for it."""

import asyncio
import errno
import os
import select
import stat
import threading
from concurrent.futures import ThreadPoolExecutor

from streamer.errors import UserError

_LOOK_MS = 100
"""Milliseconds after which a blocked write looks whether it was given up."""
_READER_WAIT = 5.0
"""Seconds to wait for a named pipe's reader."""


class DescriptorWriter:
    """Writes to a descriptor in a thread of its own.

    A write that is blocked by a slow reader can be cancelled; a reader that leaves raises `BrokenPipeError`.

    Args:
        descriptor: Open for writing; closed by `close`.
    """

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._piece = 1 << 20 if stat.S_ISREG(os.fstat(descriptor).st_mode) else select.PIPE_BUF
        self._given_up = threading.Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="write")

    async def write(self, data: bytes) -> None:
        """Write all of it.

        Raises:
            OSError: It cannot be written.
        """
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._write, data)
        except asyncio.CancelledError:
            self._given_up.set()
            raise

    async def close(self) -> None:
        """Close the descriptor, and give up what is still being written."""
        self._given_up.set()
        closing = self._thread.submit(os.close, self._descriptor)
        self._thread.shutdown(wait=False)
        await asyncio.wrap_future(closing)

    def _write(self, data: bytes) -> None:
        poll = select.poll()
        poll.register(self._descriptor, select.POLLOUT)
        view = memoryview(data)
        while view and not self._given_up.is_set():
            if poll.poll(_LOOK_MS):
                view = view[os.write(self._descriptor, view[: self._piece]) :]


async def open_pipe(path: str | os.PathLike[str]) -> int:
    """Open a named pipe for writing, once somebody reads it.

    Raises:
        UserError: Nobody does for 5 s.
        OSError: It cannot be opened.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + _READER_WAIT
    while True:
        try:
            return os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        except OSError as error:
            if error.errno != errno.ENXIO:
                raise
        if loop.time() > end:
            raise UserError(f"{path}: nobody reads this pipe") from None
        await asyncio.sleep(_LOOK_MS / 1000)

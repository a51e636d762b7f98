"""Bytes from a pipe or a file, read so that waiting for them can be cancelled."""

import asyncio
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from typing import BinaryIO

from streamer.errors import UserError

_NULL = os.makedev(1, 3) if os.name == "posix" else 0


class ByteReader:
    """Reads a binary stream; what was peeked at is read again.

    Args:
        pipe: what the event loop reads, if it can.
        transport: of that pipe.
        stream: otherwise, what a thread reads.
    """

    def __init__(
        self,
        pipe: asyncio.StreamReader | None,
        transport: asyncio.BaseTransport | None,
        stream: BinaryIO,
    ) -> None:
        self._pipe = pipe
        self._transport = transport
        self._stream = stream
        self._thread = None if pipe else ThreadPoolExecutor(1, thread_name_prefix="read")
        self._peeked = b""

    @property
    def is_file(self) -> bool:
        """Whether a plain file is read, which can be opened again."""
        return stat.S_ISREG(os.fstat(self._stream.fileno()).st_mode)

    @property
    def descriptor(self) -> int:
        """The file descriptor that is read."""
        return self._stream.fileno()

    async def read(self, size: int) -> bytes:
        """Read at most so many bytes, at least one; b"" at the end."""
        if self._peeked:
            data, self._peeked = self._peeked[:size], self._peeked[size:]
            return data
        if self._pipe:
            return await self._pipe.read(size)
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._stream.read, size
        )

    async def peek(self, size: int) -> bytes:
        """Give the first `size` bytes, fewer only at the end, and leave them to be read."""
        while len(self._peeked) < size:
            held, self._peeked = self._peeked, b""
            try:
                data = await self.read(size - len(held))
            finally:
                self._peeked = held
            if not data:
                break
            self._peeked += data
        return self._peeked[:size]

    async def read_exactly(self, size: int) -> bytes:
        """Read so many bytes, fewer only at the end."""
        data = await self.peek(size)
        self._peeked = self._peeked[len(data) :]
        return data

    async def close(self) -> None:
        """Stop reading."""
        if self._transport:
            self._transport.close()
            await asyncio.sleep(0)  # the loop closes the pipe in its next turn
        if self._thread:
            self._thread.shutdown(wait=False, cancel_futures=True)


async def open_reader(stream: BinaryIO | None) -> ByteReader:
    """Open standard input, or another stream in its place, by what its descriptor is.

    Raises:
        UserError: it is closed, a terminal, a folder, or a device other than /dev/null.
    """
    if stream is None or stream.closed:
        raise UserError("standard input is closed; pipe audio into it")
    try:
        status = os.fstat(stream.fileno())
    except OSError:
        raise UserError("standard input is closed; pipe audio into it") from None
    if stream.isatty():
        raise UserError("standard input is a terminal; pipe raw 16-bit PCM or a recording into it")
    if stat.S_ISDIR(status.st_mode):
        raise UserError("standard input is a directory; pipe audio into it")
    if stat.S_ISCHR(status.st_mode) and status.st_rdev != _NULL:
        raise UserError("standard input is a device; pipe audio into it")
    if not (stat.S_ISFIFO(status.st_mode) or stat.S_ISSOCK(status.st_mode)):
        return ByteReader(None, None, stream)
    pipe = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(pipe), stream
    )
    return ByteReader(pipe, transport, stream)

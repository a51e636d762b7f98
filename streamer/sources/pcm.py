"""Raw 16-bit PCM from standard input: `ffmpeg ... -f s16le - | streamer replay -`."""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import BinaryIO, Self

import numpy as np

from streamer.audio import SAMPLE_RATE, AudioChunk, from_pcm16
from streamer.errors import SourceError, UserError
from streamer.registry import Option, Plugin, SourceContext
from streamer.sources import SourceInfo, channel_names

_READ_SECONDS = 0.25


class PcmSource:
    """Interleaved little-endian 16-bit samples from a pipe or file descriptor.

    Args:
        rate: samples per second of each channel.
        count: how many channels are interleaved.
        channels: names of the speakers, one for each channel; none: made up.
        live: whether whoever writes cannot be made to wait.
        session: the session's id.
        stream: where to read; None for standard input.
    """

    def __init__(
        self,
        *,
        rate: int = SAMPLE_RATE,
        count: int = 1,
        channels: Sequence[str] = (),
        live: bool = False,
        session: str = "stdin",
        stream: BinaryIO | None = None,
    ) -> None:
        self._rate = rate
        self._count = count
        self._stream = stream or sys.stdin.buffer
        self._reader: _PipeReader | _FileReader | None = None
        self._info = SourceInfo("stdin", channel_names(channels, count, "stdin"), live, session)

    @property
    def info(self) -> SourceInfo:
        """See `AudioSource.info`."""
        return self._info

    async def __aenter__(self) -> Self:
        if self._stream.isatty():
            raise UserError("standard input is a terminal; pipe raw 16-bit PCM into it")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._reader:
            self._reader.close()
            await asyncio.sleep(0)  # the loop closes the pipe in its next turn

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        import soxr

        resampler = soxr.ResampleStream(self._rate, SAMPLE_RATE, self._count, dtype=np.float32)
        width = 2 * self._count
        held, position, last = b"", 0, False
        self._reader = await _reader(self._stream)
        while not last:
            data = await self._reader.read(round(self._rate * _READ_SECONDS) * width)
            last = not data
            held += data
            whole = len(held) // width * width
            frames = np.frombuffer(held[:whole], "<i2").reshape(-1, self._count)
            held = held[whole:]
            audio = resampler.resample_chunk(from_pcm16(frames), last=last)
            if len(audio):
                for channel in range(self._count):
                    yield AudioChunk(channel, position, np.ascontiguousarray(audio[:, channel]))
                position += len(audio)
        if held:
            seconds = position / SAMPLE_RATE
            raise SourceError(f"stdin: cut off in the middle of a sample at {seconds:.2f} s")


class _PipeReader:
    """Reads a pipe on the loop, so that waiting for it can be cancelled."""

    def __init__(self, pipe: asyncio.StreamReader, transport: asyncio.BaseTransport) -> None:
        self._pipe = pipe
        self._transport = transport

    async def read(self, size: int) -> bytes:
        return await self._pipe.read(size)

    def close(self) -> None:
        self._transport.close()


class _FileReader:
    """Reads a plain file in a thread: the loop cannot watch those."""

    def __init__(self, stream: BinaryIO) -> None:
        self._stream = stream
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="read")

    async def read(self, size: int) -> bytes:
        return await asyncio.get_running_loop().run_in_executor(
            self._thread, self._stream.read, size
        )

    def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)


async def _reader(stream: BinaryIO) -> _PipeReader | _FileReader:
    pipe = asyncio.StreamReader()
    try:
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(pipe), stream
        )
    except (ValueError, OSError):
        return _FileReader(stream)
    return _PipeReader(pipe, transport)


def _make(_: str, *, context: SourceContext, rate: int, channels_in: int) -> PcmSource:
    session = f"live-{context.clock.now():%Y%m%d-%H%M%S}" if context.live else "stdin"
    return PcmSource(
        rate=rate,
        count=channels_in,
        channels=context.audio.channels,
        live=context.live,
        session=session,
    )


def _within(low: int, high: int, unit: str) -> Callable[[str], int]:
    """The type of an option that is a whole number within bounds."""

    def read(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = low - 1
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"{text}: expected {low} to {high} {unit}")
        return value

    return read


PLUGIN = Plugin(
    _make,
    (
        Option(
            "--rate",
            type=_within(4_000, 384_000, "Hz"),
            default=SAMPLE_RATE,
            metavar="HZ",
            help="sample rate of raw PCM on standard input, in Hz (default 16000)",
        ),
        Option(
            "--channels-in",
            type=_within(1, 8, "channels"),
            default=1,
            metavar="N",
            help="channels of raw PCM on standard input (default 1)",
        ),
    ),
)

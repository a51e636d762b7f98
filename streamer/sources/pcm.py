"""Raw samples from a pipe: `ffmpeg ... -f s16le - | streamer listen -`."""

from collections.abc import AsyncIterator, Sequence
from typing import Self

import numpy as np

from streamer.audio import SAMPLE_RATE, AudioChunk
from streamer.errors import SourceError
from streamer.sources import SourceInfo, channel_names
from streamer.sources.byte_reader import ByteReader
from streamer.sources.encodings import decode, width

_READ_SECONDS = 0.25


class PcmSource:
    """Interleaved samples from a pipe or a file; closes the reader when it is left.

    Args:
        reader: where the bytes come from.
        encoding: one of `streamer.media.RAW_FORMATS`.
        rate: samples per second of each channel.
        count: how many channels are interleaved.
        channels: names of the speakers, one for each channel; none: made up.
        live: whether the writer cannot be made to wait.
        session: the session's id.
    """

    def __init__(
        self,
        reader: ByteReader,
        *,
        encoding: str = "s16le",
        rate: int = SAMPLE_RATE,
        count: int = 1,
        channels: Sequence[str] = (),
        live: bool = False,
        session: str = "stdin",
    ) -> None:
        self._reader = reader
        self._encoding = encoding
        self._rate = rate
        self._count = count
        self._info = SourceInfo("stdin", channel_names(channels, count, "stdin"), live, session)

    @property
    def info(self) -> SourceInfo:
        """See `AudioSource.info`."""
        return self._info

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._reader.close()

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        import soxr

        resampler = soxr.ResampleStream(self._rate, SAMPLE_RATE, self._count, dtype=np.float32)
        size = width(self._encoding) * self._count
        held, position, last = b"", 0, False
        while not last:
            data = await self._reader.read(round(self._rate * _READ_SECONDS) * size)
            last = not data
            held += data
            whole = len(held) // size * size
            frames = decode(held[:whole], self._encoding).reshape(-1, self._count)
            held = held[whole:]
            audio = resampler.resample_chunk(frames, last=last)
            if len(audio):
                for channel in range(self._count):
                    yield AudioChunk(channel, position, np.ascontiguousarray(audio[:, channel]))
                position += len(audio)
        if held:
            seconds = position / SAMPLE_RATE
            raise SourceError(f"stdin: cut off in the middle of a sample at {seconds:.2f} s")

"""Bytes of a connection -> samples at 16 kHz, while they arrive."""

import asyncio
import io
import queue
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from streamer.audio import SAMPLE_RATE, Samples, from_pcm16
from streamer.errors import UserError
from streamer.sources.network import NetworkSource

RAW: Final = ("s16le", "f32le", "mulaw", "alaw")
"""Headerless encodings."""
ENCODED: Final = {"opus-in-webm": "webm", "webm": "webm", "ogg": "ogg"}
"""Encodings with a container, by the name of FFmpeg's demuxer."""
FORMATS: Final = (*RAW, *ENCODED)

MIN_RATE, MAX_RATE = 4_000, 384_000
_PIECES = 64
"""Pieces of encoded audio that wait for the decoder."""


class Decoder(Protocol):
    """Takes the bytes of one connection, in order."""

    async def feed(self, data: bytes) -> None:
        """Decode and push to the source; waits while the conversation is behind.

        Raises:
            UserError: if the bytes are no audio of this encoding.
        """
        ...

    async def finish(self) -> None:
        """Push what is left after the last byte.

        Raises:
            UserError: if the audio ends in the middle of a sample or was never audio.
        """
        ...

    def close(self) -> None:
        """Let go of what decodes, whether the audio has ended or not."""
        ...


def decoder(encoding: str, rate: int, source: NetworkSource) -> Decoder:
    """Make the decoder of a connection.

    Args:
        encoding: one of `FORMATS`.
        rate: sample rate of headerless audio in Hz; ignored where a container says it.
        source: where decoded audio goes; it has as many channels as are interleaved.

    Raises:
        UserError: if the encoding is unknown or the rate out of bounds.
    """
    if encoding in ENCODED:
        return _ContainerDecoder(ENCODED[encoding], source)
    if encoding not in RAW:
        raise UserError(f"format {encoding[:40]!r}: expected one of {', '.join(FORMATS)}")
    if not MIN_RATE <= rate <= MAX_RATE:
        raise UserError(f"rate {rate}: expected {MIN_RATE} to {MAX_RATE} Hz")
    return _RawDecoder(encoding, rate, source)


class RawChannels:
    """Headerless audio -> float32 at 16 kHz; keeps what is not a whole sample yet."""

    def __init__(self, encoding: str, rate: int, channels: int) -> None:
        import soxr

        self._encoding = encoding
        self._channels = channels
        self._width = {"s16le": 2, "f32le": 4}.get(encoding, 1) * channels
        self._held = b""
        self._resampler = (
            None
            if rate == SAMPLE_RATE
            else soxr.ResampleStream(rate, SAMPLE_RATE, channels, dtype=np.float32)
        )

    def decode(self, data: bytes, *, last: bool = False) -> Samples:
        """Give float32 [n, channels] of the whole samples so far."""
        data = self._held + data
        whole = len(data) // self._width * self._width
        self._held = data[whole:]
        frames = _samples(self._encoding, data[:whole]).reshape(-1, self._channels)
        if self._resampler is None:
            return frames
        resampled: Samples = self._resampler.resample_chunk(frames, last=last)
        return resampled.clip(-1.0, 1.0)

    @property
    def incomplete(self) -> bool:
        """Whether the bytes so far end in the middle of a sample."""
        return bool(self._held)


class _RawDecoder:
    def __init__(self, encoding: str, rate: int, source: NetworkSource) -> None:
        self._source = source
        self._raw = RawChannels(encoding, rate, len(source.info.channels))

    async def feed(self, data: bytes) -> None:
        await self._push(self._raw.decode(data))

    async def finish(self) -> None:
        await self._push(self._raw.decode(b"", last=True))
        if self._raw.incomplete:
            raise UserError("the audio ends in the middle of a sample")

    def close(self) -> None:
        pass

    async def _push(self, frames: Samples) -> None:
        for channel in range(frames.shape[1]):
            await self._source.push(channel, np.ascontiguousarray(frames[:, channel]))


class _ContainerDecoder:
    """WebM or Ogg by PyAV, in a thread of its own that reads from a queue as if it were a file."""

    def __init__(self, demuxer: str, source: NetworkSource) -> None:
        self._demuxer = demuxer
        self._source = source
        self._loop = asyncio.get_running_loop()
        self._room = asyncio.Semaphore(_PIECES)
        self._pipe = _Pipe(partial(self._loop.call_soon_threadsafe, self._room.release))
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decoder")
        self._work = self._loop.run_in_executor(self._thread, self._decode)
        self._work.add_done_callback(self._ended)

    async def feed(self, data: bytes) -> None:
        await self._room.acquire()
        if self._work.done():
            self._work.result()
            raise UserError("audio after the end of the stream")
        if data:
            self._pipe.append(data)

    async def finish(self) -> None:
        self._pipe.end()
        await self._work

    def close(self) -> None:
        self._pipe.end()
        self._thread.shutdown(wait=False)

    def _ended(self, work: "asyncio.Future[None]") -> None:
        """Let a `feed` that waits for room go on."""
        if not work.cancelled():
            work.exception()  # asked for here, since a client that has gone never will
        for _ in range(_PIECES):
            self._room.release()

    def _decode(self) -> None:
        import av

        names = self._source.info.channels
        layout = "mono" if len(names) == 1 else f"{len(names)}c"
        try:
            container: Any = av.open(
                self._pipe, format=self._demuxer, options={"fflags": "nobuffer"}
            )
            stream = container.streams.audio[0]
            if len(names) > 1 and stream.channels != len(names):
                raise UserError(
                    f"the audio has {stream.channels} channels, {len(names)} were named"
                )
            resampler = av.AudioResampler("fltp", layout, SAMPLE_RATE)
            for frame in container.decode(stream):
                for part in resampler.resample(frame):
                    self._deliver(part.to_ndarray())
            for part in resampler.resample(None):
                self._deliver(part.to_ndarray())
        except (av.error.FFmpegError, IndexError, ValueError) as error:
            raise UserError(f"no {self._demuxer} audio that can be decoded") from error

    def _deliver(self, planes: NDArray[Any]) -> None:
        for channel, samples in enumerate(planes):
            push = self._source.push(channel, _clean(np.ascontiguousarray(samples, np.float32)))
            asyncio.run_coroutine_threadsafe(push, self._loop).result()


class _Pipe(io.RawIOBase):
    """A readable file whose bytes arrive from another thread.

    Args:
        taken: called from the reading thread whenever a piece has been taken.
    """

    def __init__(self, taken: Callable[[], object]) -> None:
        self._taken = taken
        self._pieces: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._rest = b""
        self._ended = False

    def readable(self) -> bool:
        return True

    def append(self, data: bytes) -> None:
        """Append bytes; none would end the file."""
        self._pieces.put(data)

    def end(self) -> None:
        """End the file behind what was appended."""
        self._pieces.put(b"")

    def read(self, size: int = -1, /) -> bytes:
        if not self._rest and not self._ended:
            self._rest = self._pieces.get()
            self._ended = not self._rest
            self._taken()
        size = len(self._rest) if size < 0 else size
        data, self._rest = self._rest[:size], self._rest[size:]
        return data


def _samples(encoding: str, data: bytes) -> Samples:
    """Return whole samples as float32, interleaved as they are."""
    if encoding == "s16le":
        return from_pcm16(np.frombuffer(data, "<i2"))
    if encoding == "f32le":
        return _clean(np.frombuffer(data, "<f4").astype(np.float32))
    return _TABLES[encoding][np.frombuffer(data, np.uint8)]


def _clean(samples: Samples) -> Samples:
    """Clip to [-1, 1]; what is no number becomes silence."""
    return np.clip(np.nan_to_num(samples, copy=False), -1.0, 1.0)


def _mulaw() -> Samples:
    """Return the table ITU-T G.711 mu-law -> float32, [256]."""
    code = ~np.arange(256, dtype=np.uint8)
    exponent, mantissa = (code >> 4) & 7, (code & 15).astype(np.int32)
    magnitude = (((mantissa << 3) + 132) << exponent.astype(np.int32)) - 132
    return from_pcm16(np.where(code & 128, -magnitude, magnitude))


def _alaw() -> Samples:
    """Return the table ITU-T G.711 A-law -> float32, [256]."""
    code = np.arange(256, dtype=np.uint8) ^ 0x55
    exponent, mantissa = ((code >> 4) & 7).astype(np.int32), (code & 15).astype(np.int32)
    linear = (mantissa << 4) + 8
    magnitude = np.where(exponent, (linear + 256) << np.maximum(exponent - 1, 0), linear)
    return from_pcm16(np.where(code & 128, magnitude, -magnitude))


_TABLES = {"mulaw": _mulaw(), "alaw": _alaw()}

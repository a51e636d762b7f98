"""Standard input as a source: raw samples, or a recording that is recognised by its first bytes."""

import asyncio
import contextlib
import sys
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self

from streamer.audio import SAMPLE_RATE, AudioChunk, Gap
from streamer.errors import UserError
from streamer.registry import Plugin, SourceContext
from streamer.sources import AudioSource, SourceInfo
from streamer.sources.byte_reader import ByteReader, open_reader
from streamer.sources.containers import HEAD, WavFormat, container, wav_format
from streamer.sources.encodings import default_rate
from streamer.sources.options import RAW_OPTIONS, RECORDING_OPTIONS
from streamer.sources.pcm import PcmSource
from streamer.sources.recording import RecordingOptions, recording_source

_FIRST_BYTES = 2.0
"""Seconds to wait for the first bytes of live audio; those that come later are taken for raw samples."""
_COPIED = 1 << 20
"""Bytes copied at a time."""
_MAX_WAV_HEADER = 1 << 20


@dataclass(frozen=True, slots=True)
class RawFormat:
    """Encoding of raw samples as given by the user; None: not given."""

    encoding: str | None = None
    rate: int | None = None
    channels: int = 1


class StandardInput:
    """Reads raw samples or a whole recording from standard input.

    A recording is copied to an unnamed temporary file first, as most formats have to be read out of order. Live
    audio cannot be: there a WAV header says how to read the samples that follow, and other formats are refused.

    Args:
        context: what sources are made with.
        raw: how raw samples are encoded.
        options: how a recording is read.
        stream: where to read; None for standard input.
    """

    def __init__(
        self,
        context: SourceContext,
        raw: RawFormat,
        options: RecordingOptions,
        stream: BinaryIO | None = None,
    ) -> None:
        self._context = context
        self._raw = raw
        self._options = options
        self._stream = stream
        self._stack = contextlib.AsyncExitStack()
        self._source: AudioSource | None = None

    @property
    def info(self) -> SourceInfo:
        """See `AudioSource.info`."""
        return self._opened.info

    async def __aenter__(self) -> Self:
        async with self._stack as stack:
            stdin = sys.stdin.buffer if sys.stdin else None
            reader = await open_reader(self._stream or stdin)
            stack.push_async_callback(reader.close)
            source = await self._recognise(reader, stack)
            self._source = await stack.enter_async_context(source)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._stack.aclose()

    def __aiter__(self) -> AsyncIterator[AudioChunk | Gap]:
        return aiter(self._opened)

    @property
    def _opened(self) -> AudioSource:
        if self._source is None:
            raise RuntimeError("the source has not been entered")
        return self._source

    async def _recognise(self, reader: ByteReader, stack: contextlib.AsyncExitStack) -> AudioSource:
        found = None if self._raw.encoding else container(await self._first_bytes(reader))
        if found is None:
            rate = self._raw.rate or default_rate(self._raw.encoding, SAMPLE_RATE)
            return self._samples(reader, WavFormat(self._raw.encoding, rate, self._raw.channels))
        if found == "RIFX":
            raise UserError("standard input is big-endian WAV (RIFX), which cannot be decoded")
        if not self._context.live:
            return self._recording(await _file(reader, stack))
        header = await _wav_header(reader) if found == "WAV" else None
        if header is None or header.encoding is None:
            raise UserError(
                f"standard input is {found}, which cannot be decoded live; pipe raw samples:"
                " ffmpeg -i ... -f s16le -ar 16000 -ac 1 - | streamer listen -"
            )
        return self._samples(reader, header)

    async def _first_bytes(self, reader: ByteReader) -> bytes:
        try:
            async with asyncio.timeout(_FIRST_BYTES if self._context.live else None):
                return await reader.peek(HEAD)
        except TimeoutError:
            return b""

    def _samples(self, reader: ByteReader, form: WavFormat) -> PcmSource:
        live = self._context.live
        return PcmSource(
            reader,
            encoding=form.encoding or "s16le",
            rate=form.rate,
            count=form.channels,
            channels=self._context.audio.channels,
            live=live,
            session=f"live-{self._context.clock.now():%Y%m%d-%H%M%S}" if live else "stdin",
        )

    def _recording(self, path: Path) -> AudioSource:
        return recording_source(path, self._context, self._options, name="stdin")


async def _file(reader: ByteReader, stack: contextlib.AsyncExitStack) -> Path:
    """Return a name under which all that the reader delivers can be opened."""
    if reader.is_file:
        return Path(f"/dev/fd/{reader.descriptor}")
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the source
    stack.callback(copy.close)
    while data := await reader.read(_COPIED):
        await asyncio.to_thread(copy.write, data)
    copy.flush()
    return Path(f"/dev/fd/{copy.fileno()}")


async def _wav_header(reader: ByteReader) -> WavFormat | None:
    """Read a WAV file up to its samples; None if they do not come soon."""
    await reader.read_exactly(12)
    form: WavFormat | None = None
    read = 12
    while read < _MAX_WAV_HEADER:
        head = await reader.read_exactly(8)
        if len(head) < 8 or head[:4] == b"data":
            return form
        size = min(int.from_bytes(head[4:8], "little"), _MAX_WAV_HEADER)
        chunk = await reader.read_exactly(size + size % 2)
        read += 8 + len(chunk)
        if head[:4] == b"fmt ":
            form = wav_format(chunk)
    return None


def _make(
    _: str,
    *,
    context: SourceContext,
    format: str | None = None,  # noqa: A002 - the option's name
    rate: int | None = None,
    channels_in: int = 1,
    **recording: object,
) -> StandardInput:
    given = [name for name, value in recording.items() if value]
    if context.live and given:
        raise UserError(f"--{given[0].replace('_', '-')}: is for recordings")
    raw = RawFormat(format, rate, channels_in)
    return StandardInput(context, raw, RecordingOptions.of(recording))


PLUGIN = Plugin(_make, (*RAW_OPTIONS, *RECORDING_OPTIONS))

"""Recorded audio: any file that PyAV decodes, streamed at a chosen speed."""

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator, Generator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self

from streamer.audio import SAMPLE_RATE, AudioChunk, Gap, Samples, to_samples
from streamer.clock import Clock, VirtualClock
from streamer.errors import UserError
from streamer.sources import SourceInfo, channel_names
from streamer.sources.recording.decoder import MAX_CHANNELS, Decoder, Missing
from streamer.sources.recording.duplicate_channel import louder_of_twins

_BLOCK_SECONDS = 20.0
"""Audio decoded at a time, in a thread: little enough for memory, enough for later stages to work by the dozen."""

_PACE_SECONDS = 0.06
"""Audio delivered at a time when the replay keeps to a speed."""

_FINGERPRINT_BYTES = 1 << 20


class RecordingSource:
    """Replays a recorded file.

    Args:
        path: the file.
        clock: whose time the replay keeps to.
        speed: seconds of audio for each second of the clock.
        channels: names of the speakers, one for each channel; none: made up.
        dual_mono: take two channels that carry the same signal for one.
    """

    def __init__(
        self,
        path: Path,
        clock: Clock,
        *,
        speed: float = 1.0,
        channels: Sequence[str] = (),
        dual_mono: bool = True,
    ) -> None:
        self._path = path
        self._clock = clock
        self._speed = speed
        self._names = tuple(channels)
        self._dual_mono = dual_mono
        self._twin: int | None = None
        self._info: SourceInfo | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="decode")

    @property
    def info(self) -> SourceInfo:
        """See `AudioSource.info`."""
        if self._info is None:
            raise RuntimeError("the source has not been entered")
        return self._info

    async def __aenter__(self) -> Self:
        try:
            self._info = await asyncio.get_running_loop().run_in_executor(self._thread, self._open)
        except BaseException:
            self._thread.shutdown()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._thread.shutdown(cancel_futures=True)

    async def __aiter__(self) -> AsyncIterator[AudioChunk | Gap]:
        loop = asyncio.get_running_loop()
        blocks = self._blocks()
        begun = self._clock.seconds()
        try:
            while block := await loop.run_in_executor(self._thread, next, blocks, None):
                for item in self._pieces(block):
                    await self._clock.sleep_until(begun + item.end / SAMPLE_RATE / self._speed)
                    yield item
        finally:
            # The thread may be in the middle of a block: the generator is closed where it runs.
            await loop.run_in_executor(self._thread, blocks.close)

    def _open(self) -> SourceInfo:
        _require_file(self._path)
        with Decoder(self._path) as decoder:
            count = decoder.channels
            duration = decoder.duration
        if count > MAX_CHANNELS:
            raise UserError(
                f"{self._path}: {count} channels; at most {MAX_CHANNELS} can be replayed"
            )
        if self._dual_mono and count == 2:
            self._twin = louder_of_twins(self._path)
        names = channel_names(self._names, count, str(self._path))
        if self._twin is not None:
            names = ("+".join(self._names),) if self._names else channel_names((), 1, "")
        return SourceInfo(
            name=self._path.name,
            channels=names,
            live=False,
            session=f"{_slug(self._path.stem)}-{_fingerprint(self._path)}",
            duration=duration,
        )

    def _blocks(self) -> Generator[list[AudioChunk | Gap], None, None]:
        """The audio at 16 kHz, a block of all channels at a time."""
        import soxr

        with Decoder(self._path) as decoder:
            kept = range(decoder.channels) if self._twin is None else [self._twin]
            resamplers = [soxr.ResampleStream(decoder.rate, SAMPLE_RATE, 1) for _ in kept]
            position = 0
            for item in decoder.blocks(round(decoder.rate * _BLOCK_SECONDS)):
                if isinstance(item, Missing):
                    end = position + to_samples(item.seconds)
                    yield [Gap(c, position, end, item.reason) for c in range(len(kept))]
                    position = end
                    continue
                block: list[AudioChunk | Gap] = [
                    AudioChunk(
                        index,
                        position,
                        resampler.resample_chunk(item.samples[:, channel], last=item.last),
                    )
                    for index, (channel, resampler) in enumerate(zip(kept, resamplers, strict=True))
                ]
                if block[0].end > position:
                    yield block
                position = block[0].end

    def _pieces(self, block: list[AudioChunk | Gap]) -> Iterator[AudioChunk | Gap]:
        """The block in pieces that keep the pace, all channels side by side; whole if time only jumps."""
        paced = not isinstance(self._clock, VirtualClock)
        step = to_samples(_PACE_SECONDS * self._speed if paced else _BLOCK_SECONDS * 2)
        chunks = [item for item in block if isinstance(item, AudioChunk)]
        yield from (item for item in block if isinstance(item, Gap))
        length = len(chunks[0].samples) if chunks else 0
        for offset in range(0, length, step):
            for chunk in chunks:
                samples: Samples = chunk.samples[offset : offset + step]
                yield AudioChunk(chunk.channel, chunk.start + offset, samples)


def _require_file(path: Path) -> None:
    if path.is_dir():
        raise UserError(f"{path}: is a directory; name the recording in it")
    try:
        with path.open("rb") as handle:
            empty = not handle.read(1)
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    if empty:
        raise UserError(f"{path}: the file is empty")


def _slug(text: str) -> str:
    """A name that may stand in a topic, a path and an id."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:48] or "recording"


def _fingerprint(path: Path) -> str:
    """Eight hexadecimal digits that tell recordings apart, from the file's size, beginning and end."""
    with path.open("rb") as handle:
        size = handle.seek(0, 2)
        digest = hashlib.sha256(str(size).encode())
        for offset in (0, max(0, size - _FINGERPRINT_BYTES)):
            handle.seek(offset)
            digest.update(handle.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()[:8]

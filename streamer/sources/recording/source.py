"""Recorded audio: any file that PyAV decodes, streamed at a chosen speed."""

import asyncio
import hashlib
import heapq
import re
import stat
from collections.abc import AsyncIterator, Generator, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import datetime, timedelta
from pathlib import Path
from typing import Self

from streamer.audio import SAMPLE_RATE, AudioChunk, Gap, Samples, to_samples
from streamer.clock import Clock, VirtualClock
from streamer.errors import SourceError, UserError
from streamer.sources import SourceInfo, channel_names
from streamer.sources.recording.decoder import MAX_CHANNELS, Block, Decoder, Headerless
from streamer.sources.recording.duplicate_channel import DuplicateDetector
from streamer.sources.recording.track import Missing

_BLOCK_SECONDS = 20.0
"""Audio decoded at a time, in a thread: little enough for memory, enough for later stages to work by the dozen."""

_PACE_SECONDS = 0.06
"""Audio delivered at a time when the replay keeps to a speed."""

_FINGERPRINT_BYTES = 1 << 20


class RecordingSource:
    """Replays a recorded file.

    Args:
        path: the file.
        clock: the clock that the replay keeps to.
        speed: seconds of audio for each second of the clock.
        channels: names of the speakers, one for each channel; none: made up.
        dual_mono: take two channels that carry the same signal for one.
        tracks: which of the file's audio tracks, from 1; none: all.
        headerless: how to read a file without a header.
        started: when the call began; None: as the file says, if it does.
        name: what the recording is called, if not by the file's name.
    """

    def __init__(  # noqa: PLR0913 - each is an option of its own
        self,
        path: Path,
        clock: Clock,
        *,
        speed: float = 1.0,
        channels: Sequence[str] = (),
        dual_mono: bool = True,
        tracks: Sequence[int] = (),
        headerless: Headerless | None = None,
        started: datetime | None = None,
        name: str | None = None,
    ) -> None:
        self._path = path
        self._clock = clock
        self._speed = speed
        self._names = tuple(channels)
        self._dual_mono = dual_mono
        self._tracks = [track - 1 for track in tracks]
        self._headerless = headerless
        self._started = started
        self._name = name or path.name
        self._duplicate: int | None = None
        """Of two channels with the same signal, the one that is analysed."""
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
            self._thread.shutdown(wait=False, cancel_futures=True)
            raise
        started = self._started or self._info.started
        duration = timedelta(seconds=self._info.duration or 0.0)
        self._clock.begin(started, duration, self._speed)
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._thread.shutdown(cancel_futures=True)

    async def __aiter__(self) -> AsyncIterator[AudioChunk | Gap]:
        loop = asyncio.get_running_loop()
        groups = self._groups()
        begun = self._clock.seconds()
        try:
            while group := await loop.run_in_executor(self._thread, next, groups, None):
                for item in group:
                    await self._clock.sleep_until(begun + item.end / SAMPLE_RATE / self._speed)
                    yield item
        finally:
            # The thread may be in the middle of a block: the generator is closed where it runs.
            await loop.run_in_executor(self._thread, groups.close)

    def _open(self) -> SourceInfo:
        _require_file(self._path)
        with ExitStack() as stack:
            first = stack.enter_context(self._decoder(self._tracks[0] if self._tracks else 0))
            self._tracks = self._tracks or [*range(first.tracks)]
            others = [stack.enter_context(self._decoder(track)) for track in self._tracks[1:]]
            decoders = [first, *others]
            count = sum(decoder.channels for decoder in decoders)
            if count > MAX_CHANNELS:
                raise UserError(
                    f"{self._path}: {len(decoders)} audio tracks with {count} channels; at most {MAX_CHANNELS}"
                    " can be replayed; choose some with --tracks"
                )
            names = channel_names(self._names, count, str(self._path))
            if self._dual_mono and count == 2:
                self._duplicate = _duplicate_channel(decoders)
            return SourceInfo(
                name=self._name,
                channels=names if self._duplicate is None else self._merged(),
                live=False,
                session=f"{_slug(Path(self._name).stem)}-{_fingerprint(self._path)}",
                duration=max((d.duration for d in decoders if d.duration), default=None),
                started=first.created,
                notes=tuple(self._notes(decoders, names)),
            )

    def _decoder(self, track: int) -> Decoder:
        return Decoder(self._path, track=track, headerless=self._headerless)

    def _merged(self) -> tuple[str, ...]:
        return ("+".join(self._names),) if self._names else channel_names((), 1, "")

    def _notes(self, decoders: Sequence[Decoder], names: Sequence[str]) -> Iterator[str]:
        """Yield surprises in how the recording is read, for people."""
        first = decoders[0]
        if self._duplicate is not None:
            yield f"{names[0]} and {names[1]} carry the same signal: analysed as one channel"
        if first.tracks > len(decoders):
            chosen = ", ".join(str(track + 1) for track in self._tracks)
            yield f"of {first.tracks} audio tracks only {chosen} is analysed"
        elif first.tracks > 1:
            yield f"{first.tracks} audio tracks: their channels are analysed side by side"
        if first.exceeds_header:
            yield "the file holds more audio than its header says: all of it is analysed"

    def _groups(self) -> Generator[list[AudioChunk | Gap], None, None]:
        """Yield the audio at 16 kHz in order of time, many pieces at a time."""
        with ExitStack() as stack:
            first, streams = 0, []
            problems: list[str] = []
            for track in self._tracks:
                decoder = stack.enter_context(self._decoder(track))
                kept = [*range(decoder.channels)]
                if self._duplicate is not None:
                    kept = [c for c in kept if first + c == self._duplicate]
                numbers = range(first, first + len(kept)) if self._duplicate is None else [0]
                streams.append(self._pieces(decoder, [*zip(kept, numbers, strict=False)], problems))
                first += decoder.channels
            yield from _grouped(heapq.merge(*streams, key=lambda item: item.end))
        if problems:
            raise SourceError("; ".join(dict.fromkeys(problems)))

    def _pieces(
        self, decoder: Decoder, channels: Sequence[tuple[int, int]], problems: list[str]
    ) -> Iterator[AudioChunk | Gap]:
        """Yield one track's audio in pieces that keep the pace, its channels side by side; whole if time only jumps.

        Args:
            decoder: the track.
            channels: which of its channels are kept, and their numbers in the conversation.
            problems: takes down what is wrong with the track.
        """
        paced = not isinstance(self._clock, VirtualClock)
        step = to_samples(_PACE_SECONDS * self._speed if paced else _BLOCK_SECONDS * 2)
        try:
            for chunks in _resampled(decoder, channels):
                if isinstance(chunks[0], Gap):
                    yield from chunks
                    continue
                for offset in range(0, chunks[0].end - chunks[0].start, step):
                    for chunk in chunks:
                        if isinstance(chunk, AudioChunk):
                            samples: Samples = chunk.samples[offset : offset + step]
                            yield AudioChunk(chunk.channel, chunk.start + offset, samples)
        except SourceError as error:
            problems.append(str(error))


def _resampled(
    decoder: Decoder, channels: Sequence[tuple[int, int]]
) -> Iterator[Sequence[AudioChunk | Gap]]:
    """Yield blocks of a track at 16 kHz: a chunk or a gap for each channel that is kept."""
    import soxr

    def resamplers() -> list[soxr.ResampleStream]:
        return [soxr.ResampleStream(decoder.rate, SAMPLE_RATE, 1) for _ in channels]

    streams = resamplers()
    position = 0
    for item in decoder.blocks(round(decoder.rate * _BLOCK_SECONDS)):
        if isinstance(item, Missing):
            end = max(position, to_samples(item.end))
            if channels and end > position:
                yield [Gap(number, position, end, item.reason) for _, number in channels]
            position = end
            continue
        chunks = [
            AudioChunk(
                number, position, stream.resample_chunk(item.samples[:, channel], last=item.last)
            )
            for (channel, number), stream in zip(channels, streams, strict=True)
        ]
        if item.last:
            streams = resamplers()
        if chunks and chunks[0].end > position:
            yield chunks
            position = chunks[0].end


def _grouped(items: Iterable[AudioChunk | Gap]) -> Iterator[list[AudioChunk | Gap]]:
    """Gather items, about a block of one channel at a time."""
    group: list[AudioChunk | Gap] = []
    held = 0
    for item in items:
        group.append(item)
        held += item.end - item.start if isinstance(item, AudioChunk) else 0
        if held >= to_samples(_BLOCK_SECONDS):
            yield group
            group, held = [], 0
    if group:
        yield group


def _duplicate_channel(decoders: Sequence[Decoder]) -> int | None:
    """Return the louder of two channels that carry the same signal, if they do."""
    import numpy as np

    if len({decoder.rate for decoder in decoders}) > 1:
        return None
    detector = DuplicateDetector()
    second = [d.blocks(d.rate) for d in decoders]
    try:
        for blocks in zip(*second, strict=False):
            sounds = [block.samples for block in blocks if isinstance(block, Block)]
            if len(sounds) < len(decoders) or len({len(s) for s in sounds}) > 1:
                continue
            if not detector.add(np.concatenate(sounds, axis=1)):
                return None
    except SourceError:
        pass  # reported when the recording is replayed; what came before is enough to decide
    return detector.louder


def _require_file(path: Path) -> None:
    """Raise `UserError` unless there is a file to read; opening a pipe would wait for its writer."""
    try:
        mode = path.stat().st_mode
        if stat.S_ISDIR(mode):
            raise UserError(f"{path}: is a directory; name the recording in it")
        if not stat.S_ISREG(mode):
            raise UserError(f"{path}: is no file; to read a pipe use: streamer replay - < {path}")
        with path.open("rb") as handle:
            empty = not handle.read(1)
    except OSError as error:
        raise UserError(f"{path}: {(error.strerror or 'cannot be read').lower()}") from None
    if empty:
        raise UserError(f"{path}: the file is empty")


def _slug(text: str) -> str:
    """Return a name that may stand in a topic, a path and an id."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text).strip("-.")[:48] or "recording"


def _fingerprint(path: Path) -> str:
    """Return eight hexadecimal digits that tell recordings apart, from the file's size, beginning and end."""
    with path.open("rb") as handle:
        size = handle.seek(0, 2)
        digest = hashlib.sha256(str(size).encode())
        for offset in (0, max(0, size - _FINGERPRINT_BYTES)):
            handle.seek(offset)
            digest.update(handle.read(_FINGERPRINT_BYTES))
    return digest.hexdigest()[:8]

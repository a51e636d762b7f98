"""Records the audio of a live source to a FLAC file, when the user asks for it."""

import contextlib
import logging
import os
from collections import deque
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from streamer.audio import SAMPLE_RATE, AudioChunk, Gap, Samples, from_pcm16, to_pcm16
from streamer.control import Control
from streamer.errors import UserError
from streamer.sources import AudioSource, SourceInfo

log = logging.getLogger(__name__)

_LAYOUTS = {1: "mono", 2: "stereo", 3: "3.0", 4: "quad", 5: "5.0", 6: "5.1", 7: "6.1", 8: "7.1"}
_BLOCK = SAMPLE_RATE
"""Samples written at a time."""
_MAX_SKEW = 10 * SAMPLE_RATE
"""Samples that one channel may lag behind the others; audio that is later is silence in the file."""
_MAX_PENDING = 60
"""Blocks that may wait for the disk."""


class Recorder:
    """A live source that records what another source delivers.

    Time in the file is the conversation's: gaps and pauses are silence. The audio passed on is exactly what
    the file holds, so that a replay of the file gives the same events. A full or slow disk ends the recording,
    not the conversation.

    Args:
        source: the source to record.
        path: a new file, readable by its owner only.
        control: while it pauses the conversation, silence is written.
    """

    def __init__(self, source: AudioSource, path: Path, control: Control) -> None:
        self._source = source
        self._path = path
        self._control = control
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="record")
        self._pending: deque[Future[None]] = deque()
        self._file: _FlacFile | None = None
        self._recording = True
        self._begin = 0
        """Samples before this position have been written."""
        self._held: Samples = np.zeros((0, 0), np.float32)
        self._ends: list[int] = []
        """End of each channel's audio, in samples."""

    @property
    def info(self) -> SourceInfo:
        """See `AudioSource.info`."""
        return self._source.info

    async def __aenter__(self) -> Self:
        await self._source.__aenter__()
        channels = len(self.info.channels)
        try:
            self._file = _FlacFile(self._path, channels)
        except OSError as error:
            await self._source.__aexit__(None, None, None)
            raise UserError(f"{self._path}: {(error.strerror or 'no access').lower()}") from None
        self._held = np.zeros((_MAX_SKEW + _BLOCK, channels), np.float32)
        self._ends = [0] * channels
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._write(max(self._ends) - self._begin)
        self._thread.shutdown(wait=True)
        self._check()
        if self._file:
            self._file.close(broken=not self._recording)
        await self._source.__aexit__(exc_type, exc, traceback)

    async def __aiter__(self) -> AsyncIterator[AudioChunk | Gap]:
        async for received in self._source:
            item = _as_written(received)
            self._keep(item)
            yield item

    def _keep(self, item: AudioChunk | Gap) -> None:
        first = item.start
        while first < item.end:  # a gap may be longer than the buffer
            last = min(item.end, self._begin + len(self._held))
            if isinstance(item, AudioChunk) and not self._control.paused and last > self._begin:
                begin = max(first, self._begin)
                samples = item.samples[begin - item.start : last - item.start]
                self._held[begin - self._begin : last - self._begin, item.channel] = samples
            first = max(first, last)
            self._ends[item.channel] = max(self._ends[item.channel], first)
            ready = max(min(self._ends), max(self._ends) - _MAX_SKEW) - self._begin
            if ready >= _BLOCK:
                self._write(ready)

    def _write(self, samples: int) -> None:
        """Pass the first samples of the buffer to the writing thread."""
        block = self._held[:samples].copy()
        self._held[: -samples or None] = self._held[samples:].copy()
        self._held[len(self._held) - samples :] = 0.0
        self._begin += samples
        self._check()
        if self._file and self._recording:
            self._pending.append(self._thread.submit(self._file.write, block))

    def _check(self) -> None:
        """Collect the results of finished writes; end the recording if one failed."""
        problem = "the disk is too slow" if len(self._pending) > _MAX_PENDING else ""
        while self._pending and self._pending[0].done():
            error = self._pending.popleft().exception()
            if error:
                log.debug("%s", error)
                problem = "it cannot be written; is the disk full?"
        if problem and self._recording:
            log.error("%s: recording stopped: %s", self._path, problem)
            self._recording = False


def _as_written(item: AudioChunk | Gap) -> AudioChunk | Gap:
    """Round samples to what the file can hold."""
    if isinstance(item, Gap):
        return item
    return replace(item, samples=from_pcm16(to_pcm16(item.samples)))


class _FlacFile:
    """A FLAC file under construction."""

    def __init__(self, path: Path, channels: int) -> None:
        import av

        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        self._handle = os.fdopen(descriptor, "wb", buffering=0)
        self._container: Any = av.open(self._handle, "w", format="flac")
        self._layout = _LAYOUTS[channels]
        self._stream = self._container.add_stream("flac", rate=SAMPLE_RATE, layout=self._layout)
        self._stream.codec_context.format = "s16"
        self._position = 0

    def write(self, samples: Samples) -> None:
        """Append float32 [n, channels]."""
        import av

        pcm = to_pcm16(samples)
        size = self._stream.codec_context.frame_size or len(pcm) or 1
        for first in range(0, len(pcm), size):
            piece = np.ascontiguousarray(pcm[first : first + size].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(piece, format="s16", layout=self._layout)
            frame.sample_rate, frame.pts = SAMPLE_RATE, self._position
            self._position += piece.size // pcm.shape[1]
            self._container.mux(self._stream.encode(frame))

    def close(self, *, broken: bool) -> None:
        """Finish the file; ignore errors if writing has already failed."""
        import av

        expected = (OSError, av.FFmpegError) if broken else ()
        try:
            with contextlib.suppress(*expected):
                self._container.mux(self._stream.encode(None))
            with contextlib.suppress(*expected):
                self._container.close()
        finally:
            self._handle.close()

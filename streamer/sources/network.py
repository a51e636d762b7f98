"""Audio that a network connection delivers: pushed in as it arrives, in any of several encodings."""

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Self

from streamer.audio import SAMPLE_RATE, AudioChunk, Gap, Samples
from streamer.errors import SourceError
from streamer.sources import SourceInfo

_QUEUED, _QUEUED_LIVE = 64, 4096
"""Pieces of audio that wait at most; a full queue makes the sender wait. Live, what is too far ahead ends it before."""


_AT_ONCE, _CATCH_UP = 0.25, 15.0
"""Seconds of live audio that are taken at once, and seconds in which all that may come ahead is taken."""
_LONGEST = SAMPLE_RATE // 2
"""Samples of a piece at most: other conversations wait while one is processed."""


class AheadError(Exception):
    """A sender of live audio sends much more than real time allows."""


class NetworkSource:
    """An audio source fed by a connection.

    The connection's task calls `push`, `skip` and `end`; the conversation iterates. All on one event loop.

    Args:
        info: name, channels, session and whether the sender keeps to real time.
        max_ahead: seconds of live audio beyond real time.
    """

    def __init__(self, info: SourceInfo, max_ahead: float) -> None:
        self._info = info
        self._max_ahead = max_ahead
        self._queue: asyncio.Queue[AudioChunk | Gap | SourceError | None] = asyncio.Queue(
            _QUEUED_LIVE if info.live else _QUEUED
        )
        self._positions = [0] * len(info.channels)
        self._skipped = [0] * len(info.channels)
        """Samples of gaps, which no sender can be ahead by."""
        self._closed = False
        self._began: float | None = None

    @property
    def info(self) -> SourceInfo:
        """See `AudioSource.info`."""
        return self._info

    async def push(self, channel: int, samples: Samples) -> None:
        """Append audio to a channel; waits while the conversation is behind.

        Args:
            channel: index of the channel.
            samples: float32 [n] in [-1, 1] at 16 kHz.

        Raises:
            AheadError: if live audio is too far ahead of real time.
        """
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        sent = self._positions[channel] - self._skipped[channel]
        ahead = sent / SAMPLE_RATE - (now - self._began)
        if self._info.live and ahead > self._max_ahead:
            raise AheadError(f"audio is over {self._max_ahead:g} s ahead of real time")
        for begin in range(0, len(samples), _LONGEST):
            piece = samples[begin : begin + _LONGEST]
            chunk = AudioChunk(channel, self._positions[channel], piece)
            self._positions[channel] = chunk.end
            await self._put(chunk)

    async def skip(self, channel: int, samples: int, reason: str) -> None:
        """Advance a channel over audio that was lost, as a gap of so many samples."""
        start = self._positions[channel]
        self._positions[channel] = start + samples
        self._skipped[channel] += samples
        await self._put(Gap(channel, start, start + samples, reason))

    async def end(self, failure: str | None = None) -> None:
        """End the audio; a failure says why it broke off."""
        await self._put(SourceError(failure) if failure else None)

    async def _put(self, item: AudioChunk | Gap | SourceError | None) -> None:
        if not self._closed:
            await self._queue.put(item)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        self._closed = True
        while not self._queue.empty():  # a sender that waits for room must not wait for ever
            self._queue.get_nowait()

    async def __aiter__(self) -> AsyncIterator[AudioChunk | Gap]:
        while (item := await self._queue.get()) is not None:
            if isinstance(item, SourceError):
                raise item
            if self._info.live and isinstance(item, AudioChunk):
                await self._keep_pace(item)
            yield item

    async def _keep_pace(self, chunk: AudioChunk) -> None:
        """Wait while live audio comes much faster than it was spoken: other conversations have theirs to do."""
        if self._began is None:
            return
        sent = (chunk.end - self._skipped[chunk.channel]) / SAMPLE_RATE
        speed = max(1.0, self._max_ahead / _CATCH_UP)
        early = self._began + (sent - _AT_ONCE) / speed - time.monotonic()
        if early > 0:
            await asyncio.sleep(early)

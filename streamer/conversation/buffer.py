"""Input of audio: a live source is drained at once into a bounded buffer, a recording is read as needed."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterable, AsyncIterator, Sequence
from dataclasses import replace

import numpy as np

from streamer.audio import SAMPLE_RATE, AudioChunk, Gap, Samples, to_samples
from streamer.clock import Clock
from streamer.control import Control, LiveStatus
from streamer.conversation.load import LoadPolicy

_STEP = SAMPLE_RATE // 2
"""Maximum samples (all channels) per processing step; bounds event latency."""

_START, _MAX_BACKLOG = 1.0, 30 * SAMPLE_RATE
"""Seconds within which audio that waited before the start arrives, and most samples of it."""

_FADE = 0.85
"""Factor by which a channel's shown loudness falls per chunk of silence."""


class LiveBuffer:
    """Drains a live source at once and holds a bounded amount of each channel's audio.

    Audio for which there is no room is dropped together with half of what waits, so that gaps are few.
    Iterating yields what waits, at most half a second at a time, until the source ends or the conversation
    is stopped.

    Args:
        source: the live source.
        clock: stamps audio whose capture time the source does not know.
        control: pauses and stops the conversation.
        status: position, lag, loss and levels are written here.
        policy: bounds what waits.
    """

    def __init__(
        self,
        source: AsyncIterable[AudioChunk | Gap],
        clock: Clock,
        control: Control,
        status: LiveStatus,
        policy: LoadPolicy,
    ) -> None:
        self._source = source
        self._clock = clock
        self._control = control
        self._status = status
        self._policy = policy
        self._items: deque[AudioChunk | Gap] = deque()
        self._waiting: dict[int, int] = {}
        """Samples of each channel that wait or are being processed."""
        self._paused: dict[int, Gap] = {}
        """The part of each channel's pause that has not been passed on as a gap yet."""
        self._changed = asyncio.Event()
        self._begun = 0.0
        """Time of the clock at which reading began, in seconds."""
        self._backlog = 0
        """Samples that had waited before that, e.g. in a pipe while models were loaded: no lag of the analysis."""

    async def __aiter__(self) -> AsyncIterator[Sequence[AudioChunk | Gap]]:
        filling = asyncio.create_task(self._fill())
        try:
            with self._control.on_stop(self._changed.set):
                while not self._control.stopped:
                    self._changed.clear()  # before the checks: what changes after them wakes the wait
                    while self._items and not self._control.stopped:
                        items = self._next_items()
                        yield items
                        for item in items:  # processed only now
                            self._count(item.channel, -_samples(item))
                    if filling.done():
                        filling.result()
                        return
                    if not self._control.stopped:
                        await self._changed.wait()
        finally:
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

    async def _fill(self) -> None:
        self._begun = self._clock.seconds()
        try:
            async with asyncio.timeout(self._control.duration):
                async for item in self._source:
                    self._take(item)
                    self._changed.set()
        except TimeoutError:
            pass
        finally:
            self._end_pauses()
            self._changed.set()

    def _take(self, item: AudioChunk | Gap) -> None:
        status, channel = self._status, item.channel
        status.position = max(status.position, item.end)
        status.paused = self._control.paused
        if status.paused:
            self._discard(item)
            return
        self._end_pauses()
        if isinstance(item, AudioChunk):
            fading = status.levels.get(channel, 0.0) * _FADE
            status.levels[channel] = max(_loudness(item.samples), fading)
            if item.captured is None:
                item = replace(item, captured=self._clock.seconds())
            self._note_backlog(item)
            self._count(channel, len(item.samples))
        self._items.append(item)
        if self._waiting.get(channel, 0) > self._policy.max_waiting + self._backlog:
            self._drop_oldest(channel)

    def _next_items(self) -> Sequence[AudioChunk | Gap]:
        items = [self._items.popleft()]
        room = _STEP - _samples(items[0])
        while self._items and (room := room - _samples(self._items[0])) >= 0:
            items.append(self._items.popleft())
        return items

    def _count(self, channel: int, samples: int) -> None:
        self._waiting[channel] = self._waiting.get(channel, 0) + samples
        waiting = max(self._waiting.values())
        if samples < 0:
            self._backlog = min(self._backlog, waiting)
        self._policy.measure(max(0, waiting - self._backlog) / SAMPLE_RATE)

    def _note_backlog(self, chunk: AudioChunk) -> None:
        """Measure how far the audio is ahead of the time since reading began."""
        elapsed = self._clock.seconds() - self._begun
        if elapsed < _START:
            ahead = chunk.end - to_samples(elapsed)
            self._backlog = min(_MAX_BACKLOG, max(self._backlog, ahead))

    def _discard(self, item: AudioChunk | Gap) -> None:
        """Replace an item of a pause: a first gap ends the utterance at once, a second covers the rest."""
        begun = self._paused.get(item.channel)
        if begun is None:
            self._items.append(Gap(item.channel, item.start, item.end, "paused"))
        start = item.end if begun is None else begun.start
        self._paused[item.channel] = Gap(item.channel, start, item.end, "paused")
        self._status.levels[item.channel] = 0.0

    def _end_pauses(self) -> None:
        self._items.extend(gap for gap in self._paused.values() if gap.end > gap.start)
        self._paused.clear()

    def _drop_oldest(self, channel: int) -> None:
        """Replace the oldest half of what waits by one gap."""
        kept: deque[AudioChunk | Gap] = deque()
        dropped: list[AudioChunk | Gap] = []
        for item in self._items:
            excess = self._waiting[channel] > self._policy.max_waiting / 2
            if item.channel == channel and excess:
                dropped.append(item)
                if isinstance(item, AudioChunk):
                    self._count(channel, -len(item.samples))
                    self._status.lost += len(item.samples) / SAMPLE_RATE
            else:
                kept.append(item)
        kept.appendleft(Gap(channel, dropped[0].start, dropped[-1].end, "behind"))
        self._items = kept


async def read_until_stopped(
    source: AsyncIterable[AudioChunk | Gap], control: Control
) -> AsyncIterator[Sequence[AudioChunk | Gap]]:
    """Yield what a source delivers until it ends or the conversation is stopped, also while waiting for it."""
    items = aiter(source)
    task = asyncio.current_task()
    waiting = interrupted = False

    def interrupt() -> None:
        nonlocal interrupted
        if waiting and task:
            interrupted = True
            task.cancel()

    with control.on_stop(interrupt):
        while not control.stopped:
            waiting = True
            try:
                item = await anext(items, None)
            except asyncio.CancelledError:
                if not interrupted or (task and task.uncancel()):
                    raise
                return
            finally:
                waiting = False
            if item is None:
                return
            yield [item]


def _samples(item: AudioChunk | Gap) -> int:
    return len(item.samples) if isinstance(item, AudioChunk) else 0


def _loudness(samples: Samples) -> float:
    return math.sqrt(np.dot(samples, samples) / len(samples)) if len(samples) else 0.0

"""Live audio cannot wait: what is given up when analysis falls behind, and how people steer.

The lag is the audio that was captured but not yet heard, in seconds. While it grows, work is given up in
this order: transcriptions, estimates while people speak, and, at the bound, audio.
"""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace

import numpy as np

from streamer.audio import SAMPLE_RATE, to_seconds
from streamer.clock import Clock
from streamer.sources import AudioChunk, AudioSource, Gap, Samples

_NO_TRANSCRIPTS, _NO_ESTIMATES = 0.25, 0.5
"""Share of the bound from which each is given up."""

_AT_ONCE = SAMPLE_RATE // 2
"""Samples, of all channels, that are heard together at most: what is heard of them is told only then."""

_FADE = 0.85
"""What is left of a channel's shown loudness after a piece of silence."""
_GIVEN_UP = {1: "no transcription", 2: "no transcription and no estimates while people speak"}


@dataclass
class Live:
    """What a live conversation shows to whoever watches it, and what it obeys."""

    max_lag: float
    """Seconds that analysis may be behind."""
    duration: float | None = None
    """Seconds after which to end; None: when told to."""
    position: int = 0
    """Where the audio captured so far ends, in samples."""
    lag: float = 0.0
    """Seconds of audio that wait to be heard, or are being heard."""
    lost: float = 0.0
    """Seconds of audio that were given up, of all channels together."""
    paused: bool = False
    """While true, audio is thrown away unheard."""
    levels: dict[int, float] = field(default_factory=dict)
    """The loudness of each channel: root mean square, 1 is full scale; it fades, so that eyes can follow."""
    marks: "asyncio.Queue[tuple[float, str | None]]" = field(default_factory=asyncio.Queue)
    """Moments that somebody marked, in seconds, each with a label or none."""

    _given_up: int = 0

    @property
    def transcribes(self) -> bool:
        """Whether there is time to transcribe."""
        return self.lag < self.max_lag * _NO_TRANSCRIPTS

    @property
    def estimates(self) -> bool:
        """Whether there is time for estimates while people speak."""
        return self.lag < self.max_lag * _NO_ESTIMATES

    def complaint(self) -> str:
        """What is newly given up, for people; "" if there is nothing to tell since the last time."""
        given_up = (not self.transcribes) + (not self.estimates)
        before, self._given_up = self._given_up, given_up
        if given_up <= before:
            return ""
        what = _GIVEN_UP[given_up]
        return f"{self.lag:.1f} s of audio behind: {what} until it has caught up"

    def mark(self, label: str | None = None) -> None:
        """Mark this moment."""
        self.marks.put_nowait((to_seconds(self.position), label))


class LiveAudio:
    """Takes what a live source delivers at once, and holds at most `max_lag` seconds of each channel.

    What has no room is given up together with half of what waits, so that there are few gaps and not
    many. Iterating, until told to stop, gives what is left, with gaps for the rest, as much together as
    waits, up to half a second.
    """

    def __init__(
        self, source: AudioSource, clock: Clock, live: Live, stop: "asyncio.Future[str]"
    ) -> None:
        self._source = source
        self._clock = clock
        self._live = live
        self._items: deque[AudioChunk | Gap] = deque()
        self._waiting: dict[int, int] = {}
        """Samples of each channel among them, and among those that are being heard."""
        self._paused: dict[int, Gap] = {}
        """What of each channel is not to be heard, and has not been told yet."""
        self._stop = stop
        self._changed = asyncio.Event()

    async def __aiter__(self) -> AsyncIterator[list[AudioChunk | Gap]]:
        filling = asyncio.create_task(self._fill())
        self._stop.add_done_callback(self._wake)
        try:
            while not self._stop.done():
                while self._items and not self._stop.done():
                    few = self._next_few()
                    yield few
                    for item in few:  # heard only now
                        self._count(item.channel, -_samples(item))
                if filling.done():
                    filling.result()
                    return
                self._changed.clear()
                await self._changed.wait()
        finally:
            self._stop.remove_done_callback(self._wake)
            filling.cancel()
            await asyncio.gather(filling, return_exceptions=True)

    def _wake(self, _: "asyncio.Future[str]") -> None:
        self._changed.set()

    async def _fill(self) -> None:
        try:
            async with asyncio.timeout(self._live.duration):
                async for item in self._source:
                    self._take(item)
                    self._changed.set()
        except TimeoutError:
            pass
        finally:
            self._end_pauses()
            self._changed.set()

    def _take(self, item: AudioChunk | Gap) -> None:
        live, channel = self._live, item.channel
        live.position = max(live.position, item.end)
        if live.paused:
            self._silence(item)
            return
        self._end_pauses()
        if isinstance(item, AudioChunk):
            fading = live.levels.get(channel, 0.0) * _FADE
            live.levels[channel] = max(_loudness(item.samples), fading)
            if item.captured is None:
                item = replace(item, captured=self._clock.seconds())
            self._count(channel, len(item.samples))
        self._items.append(item)
        if self._waiting.get(channel, 0) > live.max_lag * SAMPLE_RATE:
            self._give_up(channel)

    def _next_few(self) -> list[AudioChunk | Gap]:
        few = [self._items.popleft()]
        room = _AT_ONCE - _samples(few[0])
        while self._items and (room := room - _samples(self._items[0])) >= 0:
            few.append(self._items.popleft())
        return few

    def _count(self, channel: int, samples: int) -> None:
        self._waiting[channel] = self._waiting.get(channel, 0) + samples
        self._live.lag = max(self._waiting.values()) / SAMPLE_RATE

    def _silence(self, item: AudioChunk | Gap) -> None:
        """Keep an item from being heard. What was being said ends at once, the rest is told later."""
        begun = self._paused.get(item.channel)
        if begun is None:
            self._items.append(Gap(item.channel, item.start, item.end, "paused"))
        start = item.end if begun is None else begun.start
        self._paused[item.channel] = Gap(item.channel, start, item.end, "paused")
        self._live.levels[item.channel] = 0.0

    def _end_pauses(self) -> None:
        self._items.extend(gap for gap in self._paused.values() if gap.end > gap.start)
        self._paused.clear()

    def _give_up(self, channel: int) -> None:
        """Drop the oldest half of what waits, as one gap."""
        kept: deque[AudioChunk | Gap] = deque()
        dropped: list[AudioChunk | Gap] = []
        for item in self._items:
            waits = self._waiting[channel] > self._live.max_lag * SAMPLE_RATE / 2
            if item.channel == channel and waits:
                dropped.append(item)
                if isinstance(item, AudioChunk):
                    self._count(channel, -len(item.samples))
                    self._live.lost += len(item.samples) / SAMPLE_RATE
            else:
                kept.append(item)
        kept.appendleft(Gap(channel, dropped[0].start, dropped[-1].end, "behind"))
        self._items = kept


def _samples(item: AudioChunk | Gap) -> int:
    return len(item.samples) if isinstance(item, AudioChunk) else 0


def _loudness(samples: Samples) -> float:
    return math.sqrt(np.dot(samples, samples) / len(samples)) if len(samples) else 0.0

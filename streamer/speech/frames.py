"""From chunks of any length to frames in one fixed order.

What a conversation says must not depend on how its source cuts the audio. So the audio of all channels is
put on one grid of 30 ms frames, row by row: a row is the same frame of every channel, and it is over once
every channel has come to its end. Whole rows are handed on, as many together as there are.
"""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from streamer.audio import FRAME, AudioChunk, Gap, Samples


def row_of(sample: int) -> int:
    """The row that a sample belongs to."""
    return sample // FRAME


class _Channel:
    """The audio of one channel that waits for its row to be over."""

    def __init__(self) -> None:
        self.position = 0
        """Where what waits begins."""
        self.end = 0
        self.gaps = 0
        """Gaps among what waits."""
        self._waiting: deque[AudioChunk | Gap] = deque()

    @property
    def known(self) -> int:
        """Where the last row that is over here ends."""
        return row_of(self.end) * FRAME

    def push(self, item: AudioChunk | Gap) -> None:
        self._waiting.append(item)
        self.gaps += isinstance(item, Gap)
        self.end = item.end if isinstance(item, Gap) else self.end + len(item.samples)

    def take(self, horizon: int) -> Iterator[AudioChunk | Gap]:
        """What begins before the horizon: audio up to there, in one piece between gaps, and gaps whole."""
        while self._waiting and self.position < horizon:
            first = self._waiting[0]
            if isinstance(first, Gap):
                self._waiting.popleft()
                self.gaps -= 1
                self.position = first.end
                yield first
            else:
                start, samples = self.position, self._gather(horizon)
                yield AudioChunk(first.channel, start, samples)

    def _gather(self, horizon: int) -> Samples:
        pieces: list[Samples] = []
        while self._waiting and self.position < horizon:
            chunk = self._waiting[0]
            if isinstance(chunk, Gap):
                break
            samples = chunk.samples[: horizon - self.position]
            if len(samples) < len(chunk.samples):
                self._waiting[0] = replace(chunk, samples=chunk.samples[len(samples) :])
            else:
                self._waiting.popleft()
            pieces.append(samples)
            self.position += len(samples)
        return pieces[0] if len(pieces) == 1 else np.concatenate(pieces)


class FrameOrder:
    """Puts the audio of all channels in order.

    A recording's channels wait for each other, so that the order is always the same. Live channels do
    not: devices deliver at their own pace, and one that has stopped must not hold up the rest.
    """

    def __init__(self, channels: int, *, wait: bool) -> None:
        self._channels = [_Channel() for _ in range(channels)]
        self._wait = wait

    def push(self, item: AudioChunk | Gap) -> None:
        """Keep what a source delivered."""
        self._channels[item.channel].push(item)

    def is_due(self, wanted: Sequence[int]) -> bool:
        """Whether rows are over up to a sample that is wanted, or up to a gap.

        Args:
            wanted: for each channel, where to it has to be known before it is worth taking.
        """
        return any(
            channel.position < horizon and (horizon >= end or channel.gaps > 0)
            for channel, horizon, end in zip(self._channels, self._horizons(), wanted, strict=True)
        )

    @property
    def positions(self) -> list[int]:
        """Where what has not been taken begins, for each channel."""
        return [channel.position for channel in self._channels]

    def take(self, *, closed: bool = False) -> list[AudioChunk | Gap]:
        """The rows that are over, channel by channel: frames in one piece wherever there is no gap between.

        Args:
            closed: nothing will come any more, so that all rows are over.
        """
        horizons = [sys.maxsize] * len(self._channels) if closed else self._horizons()
        return [
            piece
            for channel, horizon in zip(self._channels, horizons, strict=True)
            for piece in channel.take(horizon)
        ]

    def _horizons(self) -> Sequence[int]:
        known = [channel.known for channel in self._channels]
        return [min(known)] * len(known) if self._wait else known

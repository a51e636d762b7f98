"""Frame alignment: from chunks of any length to the frames of all channels in one fixed order.

Events must not depend on how a source cuts the audio. So the audio of all channels is put on one grid of 30 ms
frames, row by row: a row is the same frame of every channel, and it is complete once every channel has reached its
end. Complete rows are passed on, as many together as there are.
"""

import sys
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from streamer.audio import FRAME, SAMPLE_RATE, AudioChunk, Gap, Samples, to_samples

GATHERED = SAMPLE_RATE // 4
"""Samples after which a channel is taken even if no event is possible yet."""


def row_of(sample: int) -> int:
    """Return the row that a sample belongs to."""
    return sample // FRAME


def whole_frames(seconds: float) -> int:
    """Return the length in samples of the frames nearest to a time, one at least."""
    return max(1, round(to_samples(seconds) / FRAME)) * FRAME


class _Channel:
    """The audio of one channel that waits for its row to be complete."""

    def __init__(self) -> None:
        self.position = 0
        """Start of the waiting audio."""
        self.end = 0
        self.gaps = 0
        """Gaps in the waiting audio."""
        self._waiting: deque[AudioChunk | Gap] = deque()

    @property
    def known(self) -> int:
        """End of the last row that this channel has completed."""
        return row_of(self.end) * FRAME

    def push(self, item: AudioChunk | Gap) -> None:
        self._waiting.append(item)
        self.gaps += isinstance(item, Gap)
        self.end = item.end if isinstance(item, Gap) else self.end + len(item.samples)

    def take(self, horizon: int) -> Iterator[AudioChunk | Gap]:
        """Take what begins before a sample: audio up to there, in one piece between gaps, and whole gaps."""
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
    """Buffers the audio of all channels, and puts it in order.

    It is buffered until an event is possible, since processing much at a time costs less; buffering never delays an
    event.

    Args:
        channels: how many there are.
        wait: whether the channels wait for each other. Those of a recording do, so that the order is always the same;
            live ones do not, since a device that has stopped must not hold up the others.
    """

    def __init__(self, channels: int, *, wait: bool) -> None:
        self._channels = [_Channel() for _ in range(channels)]
        self._wait = wait

    def push(self, item: AudioChunk | Gap) -> None:
        """Buffer audio of one channel, or its loss."""
        self._channels[item.channel].push(item)

    def is_due(self, next_events: Sequence[int]) -> bool:
        """Return whether an event is possible in the complete rows of any channel, they are many, or end at a gap.

        Args:
            next_events: for each channel, the first sample at which its next event is possible.
        """
        return any(
            channel.position < horizon
            and (horizon >= min(event, channel.position + GATHERED) or channel.gaps > 0)
            for channel, horizon, event in zip(
                self._channels, self._horizons(), next_events, strict=True
            )
        )

    @property
    def positions(self) -> list[int]:
        """For each channel, the start of the audio that has not been taken."""
        return [channel.position for channel in self._channels]

    def take(self, *, closed: bool = False) -> list[AudioChunk | Gap]:
        """Take the complete rows, channel by channel, in one piece wherever no gap lies between.

        Args:
            closed: no audio will follow; all rows are complete.
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

"""From chunks of any length to frames in one fixed order.

What a conversation says must not depend on how its source cuts the audio. So the audio of all channels
is put on one grid of 30 ms frames and taken in the order of time, channel by channel within a frame.
"""

from collections import deque
from collections.abc import Iterator

import numpy as np

from streamer.sources import AudioChunk, Gap, Samples
from streamer.units import FRAME

_EMPTY: Samples = np.zeros(0, dtype=np.float32)


class _Channel:
    """The audio of one channel that waits for its frame to be whole."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.position = 0
        """Where the next piece begins."""
        self.held = _EMPTY
        self.later: deque[AudioChunk | Gap] = deque()

    def take(self, *, closed: bool) -> AudioChunk | Gap | None:
        """The next piece: a frame, what stands of one before a gap or the end, or a gap."""
        wanted = FRAME - self.position % FRAME
        gap = self._gather(wanted)
        if len(self.held) >= wanted or (len(self.held) and (gap or closed)):
            piece, self.held = self.held[:wanted], self.held[wanted:]
            start, self.position = self.position, self.position + len(piece)
            return AudioChunk(self.index, start, piece)
        if gap:
            self.later.popleft()
            self.position = gap.end
        return gap

    def _gather(self, wanted: int) -> Gap | None:
        """Hold at least the samples wanted, if they are here; tell the gap that stands before more."""
        chunks = [self.held]
        held = len(self.held)
        while held < wanted and self.later:
            match self.later[0]:
                case AudioChunk(samples=samples):
                    self.later.popleft()
                    chunks.append(samples)
                    held += len(samples)
                case Gap() as gap:
                    self.held = np.concatenate(chunks)
                    return gap
        if len(chunks) > 1:
            self.held = np.concatenate(chunks)
        return None


class FrameOrder:
    """Puts the audio of all channels in order.

    A recording's channels wait for each other, so that the order is always the same. Live channels do
    not: devices deliver at their own pace, and one that has stopped must not hold up the rest.
    """

    def __init__(self, channels: int, *, wait: bool) -> None:
        self._channels = [_Channel(index) for index in range(channels)]
        self._wait = wait

    def push(self, item: AudioChunk | Gap) -> Iterator[AudioChunk | Gap]:
        """Take what a source delivered; give the frames and gaps that are due."""
        self._channels[item.channel].later.append(item)
        return self._due(closed=False)

    def flush(self) -> Iterator[AudioChunk | Gap]:
        """No more will come: give the rest."""
        return self._due(closed=True)

    def _due(self, *, closed: bool) -> Iterator[AudioChunk | Gap]:
        waiting = set(range(len(self._channels)))
        while waiting:
            index = min(waiting, key=lambda i: (self._channels[i].position, i))
            piece = self._channels[index].take(closed=closed)
            if piece is not None:
                yield piece
            elif self._wait and not closed:
                return
            else:
                waiting.discard(index)

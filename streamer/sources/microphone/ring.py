"""Ring buffer between a sound device's thread and the event loop."""

from dataclasses import dataclass

import numpy as np

from streamer.audio import Samples

_MAX_MERGED = 8
"""Most blocks returned by one read."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive samples as delivered by the device."""

    samples: Samples
    """float32 [n, channels] at the device's rate."""
    arrived: float
    """Clock time of its arrival, in seconds."""
    delay: float
    """Age of its last sample at arrival, as the device reports it, in seconds."""
    broken: bool
    """Whether audio was lost directly before it."""


class Ring:
    """A bounded single-producer, single-consumer queue.

    Writing takes no lock and allocates nothing: it runs in the audio callback, where delay loses audio.
    Blocks that find the buffer full are dropped, and the next stored block is marked as broken.

    Args:
        blocks: capacity in blocks.
        size: most samples in a block.
        channels: channels of each sample.
    """

    def __init__(self, blocks: int, size: int, channels: int) -> None:
        self._samples: Samples = np.zeros((blocks, size, channels), np.float32)
        self._lengths = [0] * blocks
        self._arrived = [0.0] * blocks
        self._delays = [0.0] * blocks
        self._broken = [False] * blocks
        self._written = 0
        self._read = 0
        self._dropped = False

    def write(self, samples: Samples, arrived: float, delay: float, *, broken: bool) -> bool:
        """Copy a block into the buffer and return whether there was room."""
        blocks, size, _ = self._samples.shape
        broken = broken or self._dropped
        self._dropped = self._written - self._read >= blocks or len(samples) > size
        if self._dropped:
            return False
        slot = self._written % blocks
        self._samples[slot, : len(samples)] = samples
        self._lengths[slot] = len(samples)
        self._arrived[slot] = arrived
        self._delays[slot] = delay
        self._broken[slot] = broken
        self._written += 1
        return True

    def read(self) -> Block | None:
        """Remove the oldest contiguous blocks and return them as one; None if empty."""
        if self._read == self._written:
            return None
        count = self._contiguous()
        slots, size, channels = self._samples.shape
        slot = self._read % slots
        last = slot + count - 1
        length = self._lengths[slot] if count == 1 else count * size
        block = Block(
            self._samples[slot : last + 1].reshape(-1, channels)[:length].copy(),
            self._arrived[last],
            self._delays[last],
            self._broken[slot],
        )
        self._read += count
        return block

    def _contiguous(self) -> int:
        """Count the oldest blocks that are contiguous in time and in memory."""
        slots, size, _ = self._samples.shape
        slot = self._read % slots
        most = min(_MAX_MERGED, self._written - self._read, slots - slot)
        count = 1
        while (
            count < most
            and self._lengths[slot + count - 1] == self._lengths[slot + count] == size
            and not self._broken[slot + count]
        ):
            count += 1
        return count

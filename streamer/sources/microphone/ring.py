"""Blocks of audio on their way from a sound device's thread to the event loop."""

from dataclasses import dataclass

import numpy as np

from streamer.sources import Samples

_TOGETHER = 8
"""Blocks that are read as one, at most."""


@dataclass(frozen=True, slots=True)
class Block:
    """Consecutive samples as the device delivered them."""

    samples: Samples
    """float32 [n, channels] at the device's rate."""
    arrived: float
    """Seconds of the clock at which the device's thread handed it over."""
    delay: float
    """Seconds that its last sample is older than that, by the device's own account."""
    broken: bool
    """Whether audio was lost right before."""


class Ring:
    """A bounded queue with one writer and one reader, each in a thread of its own.

    Writing takes no lock and no memory: it is done where audio is lost if it takes long. What finds
    no room is dropped, and the next block that does is marked.

    Args:
        blocks: how many may wait.
        size: samples of a block, at most.
        channels: of each sample.
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
        """Copy a block in; tell whether there was room."""
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
        """Take the oldest blocks, as one; None if there is none."""
        if self._read == self._written:
            return None
        count = self._whole()
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

    def _whole(self) -> int:
        """How many of the oldest blocks are one piece of audio, in one piece of memory."""
        slots, size, _ = self._samples.shape
        slot = self._read % slots
        most = min(_TOGETHER, self._written - self._read, slots - slot)
        count = 1
        while (
            count < most
            and self._lengths[slot + count - 1] == self._lengths[slot + count] == size
            and not self._broken[slot + count]
        ):
            count += 1
        return count

"""The samples of one channel that may still be needed, by their index on the audio's clock."""

import numpy as np

from streamer.audio import FRAME, Samples

_SMALLEST = 32_768

QUIET_HALF = 2 * FRAME
"""Samples on both sides of a place whose energy says how quiet it is there: 120 ms together."""


class Tape:
    """Consecutive samples [start, end): appended at one end, discarded at the other.

    Appending is amortised O(n); memory follows what is kept, not what has passed.
    """

    def __init__(self, at: int = 0) -> None:
        self._data: Samples = np.empty(_SMALLEST, dtype=np.float32)
        self._head = 0
        self.start = at
        self.end = at

    def append(self, samples: Samples) -> None:
        """Add samples at the end."""
        held = self.end - self.start
        if self._head + held + len(samples) > len(self._data):
            self._make_room(held, len(samples))
        tail = self._head + held
        self._data[tail : tail + len(samples)] = samples
        self.end += len(samples)

    def view(self, begin: int, end: int) -> Samples:
        """Return the samples [begin, end), valid until the next change of the tape."""
        offset = self._head - self.start
        return self._data[begin + offset : end + offset]

    def copy(self, begin: int, end: int) -> Samples:
        """Return a copy of the samples [begin, end)."""
        return self.view(begin, end).copy()

    def quietest(self, low: int, high: int) -> int:
        """Return the last place of least energy in [low, high], whole frames apart, with `QUIET_HALF` around it."""
        held = self.view(low - QUIET_HALF, high + QUIET_HALF)
        frames = held.reshape(-1, FRAME).astype(np.float64)
        energies = np.einsum("fs,fs->f", frames, frames)
        width = 2 * QUIET_HALF // FRAME
        around = np.lib.stride_tricks.sliding_window_view(energies, width).sum(axis=1)
        last = len(around) - 1 - int(np.argmin(around[::-1]))
        return low + last * FRAME

    def discard(self, before: int) -> None:
        """Discard the samples before an index."""
        before = min(before, self.end)
        if before > self.start:
            self._head += before - self.start
            self.start = before

    def restart(self, at: int) -> None:
        """Discard everything; the samples appended next begin at an index."""
        self._head = 0
        self.start = self.end = at

    def _make_room(self, held: int, coming: int) -> None:
        kept = self._data[self._head : self._head + held]
        capacity = max(_SMALLEST, 2 * (held + coming))
        # A new array, even where the old one is large enough: it gives back the memory of a long utterance.
        self._data = np.empty(capacity, dtype=np.float32)
        self._data[:held] = kept
        self._head = 0

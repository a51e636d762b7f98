"""Sources: whatever audio comes from, all of the same shape.

A source is an asynchronous context manager and iterator. It delivers the audio of all its channels
as mono float32 at 16 kHz in the order of time, in chunks of any length; the channels of one source
share one time axis that begins at 0. A recording or a pipe ends; a microphone need not.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import TracebackType
from typing import Protocol, Self

import numpy as np
from numpy.typing import NDArray

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class AudioChunk:
    """Consecutive samples of one channel."""

    channel: int
    start: int
    """Index of the first sample since the conversation began."""
    samples: Samples
    """float32 [n] in [-1, 1] at 16 kHz."""

    @property
    def end(self) -> int:
        """Index after the last sample."""
        return self.start + len(self.samples)


@dataclass(frozen=True, slots=True)
class Gap:
    """Audio of one channel that was lost: time passes, samples do not come."""

    channel: int
    start: int
    end: int
    reason: str


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """What a source is, known once it is open."""

    name: str
    """For people and for the `source` field: a file's name, a device's name."""
    channels: tuple[str, ...]
    """One name for each channel, in their order: who speaks there."""
    live: bool
    """Whether the audio comes at its own pace and cannot be made to wait."""
    session: str
    """The session's id if the user gives none; the same for the same recording."""
    duration: float | None = None
    """Seconds of audio to come, where that is known (a recording's header)."""


class AudioSource(Protocol):
    """Where audio comes from.

    Entering it opens the file or device and raises `UserError` if that cannot be done. Iterating
    raises `SourceError` if the audio breaks off: everything yielded before it is good.
    """

    @property
    def info(self) -> SourceInfo:
        """What this source is; only once it has been entered."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def __aiter__(self) -> AsyncIterator[AudioChunk | Gap]: ...

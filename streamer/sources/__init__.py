"""Sources of audio, behind one protocol.

A source is an asynchronous context manager and iterator. It delivers the audio of all its channels
as mono float32 at 16 kHz in the order of time, in chunks of any length; the channels of one source
share one time axis that begins at 0. A recording or a pipe ends; a microphone need not.
"""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Protocol, Self

from streamer.audio import AudioChunk, Gap
from streamer.errors import UserError


@dataclass(frozen=True, slots=True)
class SourceInfo:
    """Properties of a source, known once it is open."""

    name: str
    """The `source` field of events: name of the file or device."""
    channels: tuple[str, ...]
    """Name of each channel, in order: who speaks there."""
    live: bool
    """Whether the audio arrives in real time and cannot be made to wait."""
    session: str
    """The session's id if the user gives none; the same for the same recording."""
    duration: float | None = None
    """Seconds of audio to come, where that is known (a recording's header)."""
    started: datetime | None = None
    """When a recorded conversation began, where that is known."""
    notes: tuple[str, ...] = ()
    """What a reader of the events might not expect: channels merged, tracks left out, a wrong header."""


class AudioSource(Protocol):
    """A source of audio.

    Entering it opens the file or device and raises `UserError` if that cannot be done. Iterating
    raises `SourceError` if the audio breaks off: everything yielded before it is good.
    """

    @property
    def info(self) -> SourceInfo:
        """The properties of this source; available once it has been entered."""
        ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def __aiter__(self) -> AsyncIterator[AudioChunk | Gap]: ...


def channel_names(given: Sequence[str], count: int, source: str) -> tuple[str, ...]:
    """Return names for all channels: the given ones, or generated ones if none are given.

    Raises:
        UserError: if their number differs from the number of channels, or a name is repeated.
    """
    if not given:
        return ("mono",) if count == 1 else tuple(f"channel{n}" for n in range(1, count + 1))
    if len(given) != count:
        plural = "channel" if count == 1 else "channels"
        raise UserError(
            f"{source}: has {count} {plural}, but {len(given)} names were given ({', '.join(given)})"
        )
    if len(set(given)) != count:
        raise UserError(f"{source}: channel names must differ ({', '.join(given)})")
    return tuple(given)

"""A client of `/ws`: sends a conversation's audio, gives its events, and comes back when the connection is lost.

After a lost connection it connects again, with growing pauses, and goes on behind the last utterance that it has
received: audio is sent once more from there, if it is not too long ago. The server takes it for the same session.
"""

import asyncio
import contextlib
import json
import time
from collections import deque
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidURI

from streamer import events
from streamer.audio import SAMPLE_RATE, AudioChunk, Gap, to_pcm16
from streamer.control import Control
from streamer.errors import StreamerError, UserError
from streamer.sources import AudioSource

KEPT = 120.0
"""Seconds of audio that can be sent once more: a busy server may be a minute behind what it was sent."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 5.0
"""Seconds between two attempts to connect."""
_FINAL = (1009, 4400, 4401, 4408, 4429)
"""Close codes after which another attempt would end the same way."""
_CATCH_UP, _MOST_AHEAD = 2.0, 10.0
"""Times its speed at which live audio is sent that had to wait, and seconds that it may get ahead of the server."""
_CUT = 1.0
"""Seconds before the end of a session in which an utterance may have been cut off."""
_PIECE = SAMPLE_RATE // 4
"""Samples of a message at most."""
_READ_AHEAD = 8
"""Messages that wait to be sent."""
_LARGEST = 4 * 2**20
"""Bytes of an event at most."""

Frames = NDArray[np.int16]
"""16-bit samples, [n, channels], at 16 kHz."""


class LostError(StreamerError):
    """The server could not be reached for too long, or closed for a reason of its own."""


@dataclass(frozen=True)
class Server:
    """Where to send audio."""

    url: str
    """ws://HOST:PORT/ws, or wss://."""
    token: str | None = None
    max_wait: float = 60.0
    """Seconds without a connection after which the client gives up."""


async def send(
    source: AudioSource,
    server: Server,
    *,
    live: bool,
    session: str | None = None,
    control: Control | None = None,
    notify: Callable[[str], None] = lambda _: None,
) -> AsyncGenerator[events.Event, None]:
    """Send the audio of a source and yield the events of the conversation.

    Args:
        source: The audio, at the pace at which it is to be sent; entered already.
        server: Where to send it.
        live: Whether the source keeps to real time.
        session: The id of the session; None: the source's own.
        control: Ends the conversation properly when it is stopped.
        notify: Takes a line for the user when the connection is lost and when it is there again.

    Raises:
        UserError: If the server refuses the conversation.
        LostError: If it cannot be reached for too long.
    """
    info = source.info
    start = {
        "type": "start",
        "rate": SAMPLE_RATE,
        "channels": list(info.channels),
        "session": session or info.session,
        "live": live,
    }
    progress = _Progress(info.channels)
    async with _Call(_until_stopped(_interleaved(source), control or Control())) as call:
        pause, lost = _FIRST_PAUSE, time.monotonic()
        while True:
            try:
                async with _connected(server) as socket:
                    if progress.begun:
                        notify("connected again")
                        start["again"] = True
                    async for event in _converse(socket, start, call, progress):
                        pause, lost = _FIRST_PAUSE, time.monotonic()
                        yield event
                if progress.ended:
                    return
                problem = "the server is being stopped"
            except ConnectionClosed as closed:
                problem = _judge(closed)
            except (OSError, TimeoutError, InvalidHandshake) as error:
                problem = " ".join(str(error).split()) or type(error).__name__
            if time.monotonic() - lost > server.max_wait:
                raise LostError(f"{server.url}: {problem}; gave up after {server.max_wait:g} s")
            notify(f"{problem}; trying again in {pause:g} s")
            await asyncio.sleep(pause)
            pause = min(_LONGEST_PAUSE, 2 * pause)


def _connected(server: Server) -> connect:
    headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}
    wait = max(20.0, server.max_wait)  # a ping waits behind all the audio that was sent before it
    options: dict[str, Any] = {"compression": None, "max_size": _LARGEST, "ping_timeout": wait}
    try:
        return connect(server.url, additional_headers=headers, **options)
    except (InvalidURI, ValueError) as error:
        raise UserError(f"--to {server.url[:100]}: {error}") from None


def _judge(closed: ConnectionClosed) -> str:
    """Give the reason of a lost connection.

    Raises:
        UserError: if another attempt would end the same way.
    """
    if closed.rcvd is None:
        return "the connection was lost"
    reason = closed.rcvd.reason or f"closed with code {closed.rcvd.code}"
    if closed.rcvd.code in _FINAL:
        raise UserError(f"the server refused the conversation: {reason}")
    return reason


class _Progress:
    """What has been received of a conversation, over all its connections."""

    def __init__(self, channels: tuple[str, ...]) -> None:
        self._ends = dict.fromkeys(channels, 0.0)
        """Where the last utterance of each channel ends, in seconds."""
        self._starts: dict[str, float] = {}
        """Where it begins."""
        self.begun = False
        self.ended = False

    @property
    def position(self) -> int:
        """Where to go on, in samples: behind the last utterance of the channel that has had none for longest."""
        return int(min(self._ends.values()) * SAMPLE_RATE)

    def is_new(self, event: events.Event) -> bool:
        """Return whether an event says what earlier connections have not."""
        match event:
            case events.SessionStarted():
                new, self.begun = not self.begun, True
                return new
            case events.SessionEnded():
                self.ended = event.reason != "terminated"  # as it is when the server is stopped
                self._forget_cut(event.duration)
                return self.ended
            case events.Utterance():
                self._starts[event.channel] = event.start
                new = event.end > self._ends.get(event.channel, 0.0)
                self._ends[event.channel] = max(event.end, self._ends.get(event.channel, 0.0))
                return new
            case _:
                return True

    def _forget_cut(self, duration: float) -> None:
        """Let utterances that the end has cut off come again, whole."""
        for channel, end in self._ends.items():
            if end > duration - _CUT:
                self._ends[channel] = self._starts.get(channel, 0.0)


async def _converse(
    socket: ClientConnection, start: dict[str, Any], call: "_Call", progress: _Progress
) -> AsyncIterator[events.Event]:
    """Send what is left of the call, and yield what is new, until the server closes the connection."""
    await socket.send(json.dumps(start))
    position = call.rewind(progress.position)
    if position:
        await socket.send(json.dumps({"type": "gap", "seconds": position / SAMPLE_RATE}))
    sending = asyncio.create_task(_send(socket, call, live=start["live"]))
    try:
        async for message in socket:
            with contextlib.suppress(ValueError):  # of a newer server
                event = events.parse(message)
                if progress.is_new(event):
                    yield event
        if sending.done():
            sending.result()  # a damaged recording is not the server's fault
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)


async def _send(socket: ClientConnection, call: "_Call", *, live: bool) -> None:
    """Send the audio and its end, also the end of what breaks off.

    Raises:
        StreamerError: The recording is damaged; all of it that there is has been sent.
    """
    end = json.dumps({"type": "end"})
    with contextlib.suppress(ConnectionClosed):  # the reader learns the reason
        begun, sent = time.monotonic(), 0.0
        try:
            async for frames in call:
                if live:
                    due = begun + max(sent / _CATCH_UP, sent - _MOST_AHEAD)
                    await asyncio.sleep(max(0.0, due - time.monotonic()))
                await socket.send(frames.tobytes())
                sent += len(frames) / SAMPLE_RATE
        except StreamerError:
            await socket.send(end)
            raise
        await socket.send(end)


class _Call:
    """The audio of a conversation, read by a task of its own; the latest part can be read once more.

    Args:
        frames: All of it, in order.
    """

    def __init__(self, frames: AsyncGenerator[Frames, None]) -> None:
        self._frames = frames
        self._arrived: asyncio.Queue[Frames | Exception | None] = asyncio.Queue(_READ_AHEAD)
        self._kept: deque[Frames | Exception | None] = deque()
        self._length = 0
        """Samples that are kept."""
        self._begin = 0
        """Samples before what is kept."""
        self._next = 0
        """Place in `_kept` of what is read next."""

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _read(self) -> None:
        end: Exception | None = None
        try:
            async with aclosing(self._frames):
                async for frames in self._frames:
                    await self._arrived.put(frames)
        except StreamerError as error:
            end = error
        await self._arrived.put(end)

    def rewind(self, position: int) -> int:
        """Go back to a position in samples, as far as audio is kept; give where reading goes on."""
        at = self._begin
        self._next = 0
        for frames in self._kept:
            length = _length(frames)
            if at + length > position or not length:
                break
            at += length
            self._next += 1
        return at

    async def __aiter__(self) -> AsyncIterator[Frames]:
        while True:
            if self._next == len(self._kept):
                self._keep(await self._arrived.get())
            frames = self._kept[self._next]
            if frames is None:
                return
            if isinstance(frames, Exception):
                raise frames
            self._next += 1
            yield frames

    def _keep(self, frames: Frames | Exception | None) -> None:
        self._kept.append(frames)
        self._length += _length(frames)
        while self._next and self._length - (first := _length(self._kept[0])) > KEPT * SAMPLE_RATE:
            self._kept.popleft()
            self._length -= first
            self._begin += first
            self._next -= 1


def _length(frames: Frames | Exception | None) -> int:
    return len(frames) if isinstance(frames, np.ndarray) else 0


async def _interleaved(source: AudioSource) -> AsyncGenerator[Frames, None]:
    """Read a source as frames of all its channels; lost audio is silence."""
    waiting: list[list[Frames]] = [[] for _ in source.info.channels]
    items: Any = aiter(source)
    try:
        async for item in items:
            waiting[item.channel].append(_pcm(item))
            ready = min(sum(map(len, pieces)) for pieces in waiting)
            for piece in _pieces(_take(waiting, ready)):
                yield piece
    finally:
        if close := getattr(items, "aclose", None):
            await close()  # while the source is still open
    for piece in _pieces(_take(waiting, max(sum(map(len, pieces)) for pieces in waiting))):
        yield piece


def _pieces(frames: Frames) -> Iterator[Frames]:
    return (frames[begin : begin + _PIECE] for begin in range(0, len(frames), _PIECE))


async def _until_stopped(
    frames: AsyncGenerator[Frames, None], control: Control
) -> AsyncGenerator[Frames, None]:
    async with aclosing(frames):
        async for each in frames:
            if control.stopped is not None:
                return
            yield each


def _pcm(item: AudioChunk | Gap) -> Frames:
    if isinstance(item, Gap):
        return np.zeros(item.end - item.start, np.int16)
    return to_pcm16(item.samples)


def _take(waiting: list[list[Frames]], count: int) -> Frames:
    """Take so many samples of every channel; one that has fewer is filled up with silence."""
    frames = np.zeros((count, len(waiting)), "<i2")
    for channel, pieces in enumerate(waiting):
        joined = np.concatenate(pieces) if pieces else np.zeros(0, np.int16)
        frames[: len(joined), channel] = joined[:count]
        waiting[channel] = [joined[count:]]
    return frames

"""Microphones: one sound device or several, kept open whatever happens to them."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Self, TypeVar

from streamer.audio import to_samples
from streamer.clock import Clock
from streamer.errors import UserError
from streamer.sources import AudioChunk, Gap, SourceInfo, channel_names
from streamer.sources.microphone import devices
from streamer.sources.microphone.capture import Capture
from streamer.sources.microphone.timeline import Line

log = logging.getLogger(__name__)

T = TypeVar("T")

CHECK = 0.5
"""Seconds between two looks at whether a device still lives."""
_FIRST_PAUSE, _LONGEST_PAUSE = 0.25, 10.0
"""Seconds between two attempts to open a device that is gone: at first, and at most."""
_SOON = 1.0
"""Seconds within which a device is closed, or opened again, if all is well."""
_PATIENCE = 3.0
"""Seconds for which an open device may deliver nothing before that is told; it may only be slow to begin."""


class MicrophoneSource:
    """Listens to sound devices, each a speaker of one conversation.

    A device that goes away becomes a gap, and is opened again when it is back.

    Args:
        clock: whose time the audio is given.
        wanted: the devices, by index or part of the name; none: the default one.
        channels: names of the speakers, one for each device; for a single device also one for each of its
            channels.
        wait: do without a device that is not there yet.
    """

    def __init__(
        self,
        clock: Clock,
        wanted: Sequence[str] = (),
        *,
        channels: Sequence[str] = (),
        wait: bool = False,
    ) -> None:
        self._clock = clock
        self._wanted: Sequence[str | None] = list(wanted) or [None]
        self._names = tuple(channels)
        self._wait = wait
        self._audio = _Audio()
        self._microphones: list[_Microphone] = []
        self._info: SourceInfo | None = None

    @property
    def info(self) -> SourceInfo:
        """See `AudioSource.info`."""
        if self._info is None:
            raise RuntimeError("the source has not been entered")
        return self._info

    async def __aenter__(self) -> Self:
        names, shares = self._channels()
        first = 0
        try:
            for wanted, speakers in zip(self._wanted, shares, strict=True):
                channels = range(first, first + speakers)
                microphone = _Microphone(wanted, channels, self._clock, self._audio)
                self._microphones.append(microphone)
                await microphone.open_first(wait=self._wait)
                first += speakers
        except BaseException:
            await self._close()
            raise
        started = f"{self._clock.now():%Y%m%d-%H%M%S}"
        source = " + ".join(microphone.name for microphone in self._microphones)
        self._info = SourceInfo(source, names, live=True, session=f"live-{started}")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def __aiter__(self) -> AsyncIterator[AudioChunk | Gap]:
        heard: asyncio.Queue[AudioChunk | Gap | Exception] = asyncio.Queue(16)

        epoch = self._clock.seconds()

        async def listen(microphone: _Microphone) -> None:
            try:
                await microphone.listen(epoch, heard.put)
            except Exception as error:  # noqa: BLE001 - a defect, raised below
                await heard.put(error)

        tasks = [asyncio.create_task(listen(microphone)) for microphone in self._microphones]
        try:
            while True:
                item = await heard.get()
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _channels(self) -> tuple[tuple[str, ...], list[int]]:
        """The channels' names, and how many of them each device has."""
        count = len(self._wanted)
        if count == 1 and len(self._names) > 1:
            return channel_names(self._names, len(self._names), "the microphone"), [
                len(self._names)
            ]
        made_up = [name or "microphone" for name in self._wanted]
        return channel_names(self._names or made_up, count, "microphones"), [1] * count

    async def _close(self) -> None:
        for microphone in self._microphones:
            await microphone.close()
        self._audio.close()


class _Audio:
    """The thread in which all calls of PortAudio are made, and what is open there."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="portaudio")
        self._open = 0
        self._stale = False
        """Whether the list of devices may have changed since it was read."""

    async def open(
        self, wanted: str | None, speakers: int, clock: Clock, wake: Callable[[], object]
    ) -> Capture:
        """Find a device and open it."""
        return await self._run(lambda: self._find(wanted, speakers, clock, wake))

    async def shut(self, capture: Capture) -> None:
        """Close a device. A sound server that does not answer must not keep whoever wants to end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SOON):
                await self._run(lambda: self._shut(capture))

    def close(self) -> None:
        """End the thread."""
        self._thread.shutdown(wait=False)

    def _find(
        self, wanted: str | None, speakers: int, clock: Clock, wake: Callable[[], object]
    ) -> Capture:
        if self._stale and not self._open:
            devices.refresh()
        self._stale = True
        device = devices.find(wanted)
        if speakers > device.channels:
            raise UserError(
                f"{device.name}: has {device.channels} channels, but {speakers} names were given"
            )
        capture = Capture(device, speakers, clock, wake)
        self._open += 1
        return capture

    def _shut(self, capture: Capture) -> None:
        self._open -= 1
        capture.close()

    async def _run(self, function: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)


class _Microphone:
    """One device, as it comes and goes."""

    def __init__(self, wanted: str | None, channels: range, clock: Clock, audio: _Audio) -> None:
        self.name = wanted or "default microphone"
        self._wanted = wanted
        self._channels = channels
        self._clock = clock
        self._audio = audio
        self._epoch = 0.0
        self._capture: Capture | None = None
        self._position = 0
        self._told = False
        """Whether the gap that lasts has been told."""
        self._fresh = asyncio.Event()

    async def open_first(self, *, wait: bool) -> None:
        """Open it; with `wait` it may also be missing."""
        try:
            await self._open()
        except devices.DeviceError as error:
            if not wait:
                raise
            log.warning("%s; waiting for it", error)

    async def close(self) -> None:
        """Let go of it, if it is there."""
        capture, self._capture = self._capture, None
        if capture:
            await self._audio.shut(capture)

    async def listen(
        self, epoch: float, put: Callable[[AudioChunk | Gap], Awaitable[None]]
    ) -> None:
        """Pass on what it delivers, for ever; `epoch` is when the conversation began, by the clock."""
        self._epoch = epoch
        reason = "" if self._capture else "absent"
        while True:
            capture = self._capture or await self._reopen(put, reason)
            line = Line(
                self._channels,
                capture.device.rate,
                epoch=self._epoch,
                position=self._position,
                reason=reason,
            )
            await self._follow(capture, line, put)
            self._position = line.position
            reason = "interrupted"
            log.warning("%s delivers no audio any more; it is opened again", self.name)
            await self.close()

    async def _follow(
        self, capture: Capture, line: Line, put: Callable[[AudioChunk | Gap], Awaitable[None]]
    ) -> None:
        """Pass on what it delivers until it delivers no more."""
        patience = self._clock.seconds() + _PATIENCE
        while True:
            self._fresh.clear()
            while block := capture.ring.read():
                for item in line.take(block):
                    await put(item)
            if not capture.lives():
                break
            if line.begun:
                self._told = False
            elif not self._told and self._clock.seconds() > patience:
                self._told = True
                for gap in line.wait(self._now()):
                    await put(gap)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(CHECK):
                    await self._fresh.wait()
        for item in line.finish():
            await put(item)

    async def _reopen(
        self, put: Callable[[AudioChunk | Gap], Awaitable[None]], reason: str
    ) -> Capture:
        """Try until it is back; tell the gap if that takes long, since what was being said has ended."""
        opening = asyncio.create_task(self._open_again())
        try:
            await asyncio.wait({opening}, timeout=_SOON)
            if not opening.done() and not self._told:
                self._told = True
                start, self._position = self._position, max(self._position, self._now())
                for channel in self._channels:
                    await put(Gap(channel, start, self._position, reason))
            return await opening
        finally:
            opening.cancel()

    async def _open_again(self) -> Capture:
        pause = _FIRST_PAUSE
        while True:
            try:
                return await self._open()
            except UserError as error:
                log.debug("%s", error)
            await self._clock.sleep_until(self._clock.seconds() + pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    def _now(self) -> int:
        """The present on the time axis of the conversation."""
        return to_samples(self._clock.seconds() - self._epoch)

    async def _open(self) -> Capture:
        loop = asyncio.get_running_loop()
        self._capture = capture = await self._audio.open(
            self._wanted,
            len(self._channels),
            self._clock,
            lambda: loop.call_soon_threadsafe(self._fresh.set),
        )
        self.name = capture.device.name
        if self._wanted is not None:
            self._wanted = self.name  # an index may mean another device when this one is back
        return capture

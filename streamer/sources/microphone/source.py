"""Microphones: one sound device or several, reopened whenever they fail."""

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Self, TypeVar

from streamer.audio import AudioChunk, Gap, to_samples
from streamer.clock import Clock, within
from streamer.errors import UserError
from streamer.sources import SourceInfo, channel_names
from streamer.sources.microphone import devices
from streamer.sources.microphone.capture import Capture
from streamer.sources.microphone.timeline import Timeline

log = logging.getLogger(__name__)

T = TypeVar("T")

_CHECK_INTERVAL = 0.5
"""Seconds between two checks that a device still delivers."""
_MIN_BACKOFF, _MAX_BACKOFF = 0.25, 10.0
"""Seconds between two attempts to reopen a device: at first and at most."""
_QUICK = 1.0
"""Seconds that closing or reopening a working device takes at most."""
_SILENCE_TIMEOUT = 3.0
"""Seconds without audio after opening a device before a gap is reported; some devices start slowly."""


class MicrophoneSource:
    """Captures sound devices, each a speaker of one conversation.

    A device that disappears becomes a gap and is reopened when it returns.

    Args:
        clock: the clock that the audio's time follows.
        wanted: the devices, by index or part of the name; empty: the default device.
        channels: names of the speakers, one for each device; for a single device also one for each of its
            channels.
        wait: start even if a device is missing, and wait for it.
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
        self._portaudio = _PortAudio()
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
                microphone = _Microphone(wanted, channels, self._clock, self._portaudio)
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

    async def __aexit__(self, *exc: object) -> None:
        await self._close()

    async def __aiter__(self) -> AsyncIterator[AudioChunk | Gap]:
        queue: asyncio.Queue[AudioChunk | Gap | Exception] = asyncio.Queue(16)

        epoch = self._clock.seconds()

        async def run(microphone: _Microphone) -> None:
            try:
                await microphone.deliver(epoch, queue.put)
            except Exception as error:  # noqa: BLE001 - a defect, re-raised below
                await queue.put(error)

        tasks = [asyncio.create_task(run(microphone)) for microphone in self._microphones]
        try:
            while True:
                item = await queue.get()
                if isinstance(item, Exception):
                    raise item
                yield item
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _channels(self) -> tuple[tuple[str, ...], list[int]]:
        """Return the channels' names and the number of channels of each device."""
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
        self._portaudio.close()


class _PortAudio:
    """The thread that makes all PortAudio calls, and the streams open in it."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="portaudio")
        self._open = 0
        self._stale = False
        """Whether the list of devices may be out of date."""

    async def open(
        self, wanted: str | None, speakers: int, clock: Clock, wake: Callable[[], object]
    ) -> Capture:
        """Find a device and open it."""
        return await self._run(lambda: self._find(wanted, speakers, clock, wake))

    async def shut(self, capture: Capture) -> None:
        """Close a device; give up on a sound server that does not answer."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_QUICK):
                await self._run(lambda: self._shut(capture))

    def close(self) -> None:
        """Stop the thread."""
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
    """One device, opened and reopened."""

    def __init__(
        self, wanted: str | None, channels: range, clock: Clock, portaudio: _PortAudio
    ) -> None:
        self.name = wanted or "default microphone"
        self._wanted = wanted
        self._channels = channels
        self._clock = clock
        self._portaudio = portaudio
        self._epoch = 0.0
        self._capture: Capture | None = None
        self._position = 0
        self._gap_reported = False
        """Whether the current gap has been reported."""
        self._fresh = asyncio.Event()

    async def open_first(self, *, wait: bool) -> None:
        """Open the device; with `wait` it may be missing."""
        try:
            await self._open()
        except devices.DeviceError as error:
            if not wait:
                raise
            log.warning("%s; waiting for it", error)

    async def close(self) -> None:
        """Close the device if it is open."""
        capture, self._capture = self._capture, None
        if capture:
            await self._portaudio.shut(capture)

    async def deliver(
        self, epoch: float, put: Callable[[AudioChunk | Gap], Awaitable[None]]
    ) -> None:
        """Deliver its audio until cancelled.

        Args:
            epoch: clock time of the start of the conversation, in seconds.
            put: receives the audio and the gaps.
        """
        self._epoch = epoch
        reason = "" if self._capture else "absent"
        while True:
            capture = self._capture or await self._reopen(put, reason)
            timeline = Timeline(
                self._channels,
                capture.device.rate,
                epoch=self._epoch,
                position=self._position,
                reason=reason,
            )
            await self._follow(capture, timeline, put)
            self._position = timeline.position
            reason = "interrupted"
            log.warning("%s delivers no audio any more; reopening it", self.name)
            await self.close()

    async def _follow(
        self,
        capture: Capture,
        timeline: Timeline,
        put: Callable[[AudioChunk | Gap], Awaitable[None]],
    ) -> None:
        """Deliver the audio of an open device until it stops."""
        deadline = self._clock.seconds() + _SILENCE_TIMEOUT
        while True:
            self._fresh.clear()
            while block := capture.ring.read():
                for item in timeline.push(block):
                    await put(item)
            if not capture.is_alive():
                break
            if timeline.begun:
                self._gap_reported = False
            elif not self._gap_reported and self._clock.seconds() > deadline:
                self._gap_reported = True
                for gap in timeline.wait(self._now()):
                    await put(gap)
            await within(_CHECK_INTERVAL, self._fresh)
        for item in timeline.finish():
            await put(item)

    async def _reopen(
        self, put: Callable[[AudioChunk | Gap], Awaitable[None]], reason: str
    ) -> Capture:
        """Retry until the device is back; report a gap early, so that an utterance under way ends."""
        opening = asyncio.create_task(self._open_again())
        try:
            await asyncio.wait({opening}, timeout=_QUICK)
            if not opening.done() and not self._gap_reported:
                self._gap_reported = True
                start, self._position = self._position, max(self._position, self._now())
                for channel in self._channels:
                    await put(Gap(channel, start, self._position, reason))
            return await opening
        finally:
            opening.cancel()

    async def _open_again(self) -> Capture:
        backoff = _MIN_BACKOFF
        while True:
            try:
                return await self._open()
            except UserError as error:
                log.debug("%s", error)
            await self._clock.sleep_until(self._clock.seconds() + backoff)
            backoff = min(2 * backoff, _MAX_BACKOFF)

    def _now(self) -> int:
        """Return the current position on the time axis of the conversation, in samples."""
        return to_samples(self._clock.seconds() - self._epoch)

    async def _open(self) -> Capture:
        loop = asyncio.get_running_loop()
        self._capture = capture = await self._portaudio.open(
            self._wanted,
            len(self._channels),
            self._clock,
            lambda: loop.call_soon_threadsafe(self._fresh.set),
        )
        self.name = capture.device.name
        if self._wanted is not None:
            self._wanted = self.name  # the index may mean another device by then
        return capture

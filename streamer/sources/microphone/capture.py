"""One open sound device: its stream, and the ring that the stream fills."""

from collections.abc import Callable
from typing import Any

from streamer.audio import FRAME, SAMPLE_RATE
from streamer.clock import Clock
from streamer.sources.microphone.devices import Device, open_stream
from streamer.sources.microphone.ring import Ring
from streamer.sources.microphone.wakeup import Attention

BLOCK = FRAME / SAMPLE_RATE
"""Seconds of audio that the device delivers at a time."""
HELD = 2.0
"""Seconds of audio that may wait in the ring."""
SILENT = 1.5
"""Seconds without a block after which a device counts as gone. PortAudio does not tell: its calls just stop."""
_START = 5.0
"""Seconds within which the first block must come."""
_MIXED = 2
"""Channels taken from a device that is one speaker: a pair of microphones. Virtual devices offer dozens."""


class Capture:
    """Listens to a device. Made and closed in the thread that PortAudio's calls are made in.

    Args:
        device: which.
        speakers: how many speak into it, each on a channel of its own; one has all channels.
        clock: tells when blocks arrive.
        wake: called, in the device's thread, when there is a block worth waking up for.

    Raises:
        DeviceError: if the device cannot be opened.
    """

    def __init__(
        self, device: Device, speakers: int, clock: Clock, wake: Callable[[], object]
    ) -> None:
        self.device = device
        self.interrupted = False
        """Whether the device, or this program, stood still for so long that what comes now is old."""
        self._clock = clock
        self._wake = wake
        channels = speakers if speakers > 1 else min(device.channels, _MIXED)
        self.ring = Ring(round(HELD / BLOCK), round(device.rate * BLOCK), channels)
        self._heartbeat: float | None = None
        self._attention = Attention()
        self._stream = open_stream(device, channels, BLOCK, self._take)
        self._opened = clock.seconds()

    def lives(self) -> bool:
        """Whether blocks still come."""
        if self.interrupted or not self._stream.active:
            return False
        now = self._clock.seconds()
        if self._heartbeat is None:
            return now - self._opened < _START
        return now - self._heartbeat < SILENT

    def close(self) -> None:
        """Let go of the device."""
        self._stream.close(ignore_errors=True)

    def _take(self, samples: Any, frames: int, time: Any, status: Any) -> None:
        now = self._clock.seconds()
        if self._heartbeat is not None and now - self._heartbeat > SILENT:
            self.interrupted = True
        self._heartbeat = now
        if not self.interrupted:
            delay = time.currentTime - time.inputBufferAdcTime - frames / self.device.rate
            self.ring.write(samples, now, delay, broken=bool(status.input_overflow))
        if self.interrupted or self._attention.wakes(samples):
            self._wake()

"""An open sound device: its stream and the ring buffer that the stream fills."""

from collections.abc import Callable
from typing import Any

from streamer.audio import FRAME, SAMPLE_RATE
from streamer.clock import Clock
from streamer.sources.microphone.devices import Device, open_stream
from streamer.sources.microphone.ring import Ring
from streamer.sources.microphone.wakeup import WakeupGate

BLOCK = FRAME / SAMPLE_RATE
"""Seconds of audio in one block of the device."""
BUFFERED = 2.0
"""Capacity of the ring buffer in seconds."""
SILENCE_TIMEOUT = 1.5
"""Seconds without a block after which a device counts as gone. PortAudio reports nothing: its calls just stop."""
_START_TIMEOUT = 5.0
"""Seconds within which the first block must arrive."""
_MAX_MIXED = 2
"""Most channels mixed into one speaker: a pair of microphones. Virtual devices offer dozens."""


class Capture:
    """Captures one device. Created and closed in the thread that makes all PortAudio calls.

    Args:
        device: the device to open.
        speakers: number of speakers, each on a channel of its own; a single one gets all channels, mixed.
        clock: time of arrival of the blocks.
        wake: called in the device's thread when blocks should be read.

    Raises:
        DeviceError: if the device cannot be opened.
    """

    def __init__(
        self, device: Device, speakers: int, clock: Clock, wake: Callable[[], object]
    ) -> None:
        self.device = device
        self.interrupted = False
        """True once the device or this program stalled for so long that newer blocks are out of date."""
        self._clock = clock
        self._wake = wake
        channels = speakers if speakers > 1 else min(device.channels, _MAX_MIXED)
        self.ring = Ring(round(BUFFERED / BLOCK), round(device.rate * BLOCK), channels)
        self._last_block: float | None = None
        self._gate = WakeupGate()
        self._stream = open_stream(device, channels, BLOCK, self._on_block)
        self._opened = clock.seconds()

    def is_alive(self) -> bool:
        """Return whether blocks still arrive."""
        if self.interrupted or not self._stream.active:
            return False
        now = self._clock.seconds()
        if self._last_block is None:
            return now - self._opened < _START_TIMEOUT
        return now - self._last_block < SILENCE_TIMEOUT

    def close(self) -> None:
        """Close the device."""
        self._stream.close(ignore_errors=True)

    def _on_block(self, samples: Any, frames: int, time: Any, status: Any) -> None:
        now = self._clock.seconds()
        if self._last_block is not None and now - self._last_block > SILENCE_TIMEOUT:
            self.interrupted = True
        self._last_block = now
        if not self.interrupted:
            delay = time.currentTime - time.inputBufferAdcTime - frames / self.device.rate
            self.ring.write(samples, now, delay, broken=bool(status.input_overflow))
        if self.interrupted or self._gate.wakes(samples):
            self._wake()

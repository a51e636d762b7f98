"""Places the blocks of one open device on the time axis of the conversation."""

import numpy as np

from streamer.audio import FRAME, SAMPLE_RATE, AudioChunk, Gap, Samples, to_samples
from streamer.sources.microphone.drift import LossDetector
from streamer.sources.microphone.ring import Block
from streamer.sources.resampler import Resampler

_MAX_LEADING_SILENCE = 3.0
"""Seconds before a device's first sample that are filled with silence; a longer span becomes a gap."""


class Timeline:
    """Converts blocks of one device into audio at 16 kHz, with gaps where samples are missing.

    Shifts the time axis by at most half a frame so that frames end where blocks end: no frame then waits
    for the following block.

    Args:
        channels: channels of the conversation that the device feeds: one, or one for each of its own.
        rate: sample rate of the device in Hz.
        epoch: clock time of the start of the conversation, in seconds; earlier audio is discarded.
        position: end of its audio before it was reopened, in samples.
        reason: why audio is missing from there to now; "" if none is.
    """

    def __init__(
        self, channels: range, rate: int, *, epoch: float, position: int, reason: str
    ) -> None:
        self._channels = channels
        self._rate = rate
        self._epoch = epoch
        self._reason = reason
        self._losses = LossDetector()
        self._begun = False
        self._shift = 0.0
        """Offset of the device's time from the conversation's, in seconds."""
        self._excess = 0
        """Samples by which the gaps so far are longer than the losses."""
        self.position = position
        self._restart()

    def push(self, block: Block) -> list[AudioChunk | Gap]:
        """Convert a block; return as much of its audio as is ready."""
        seconds = len(block.samples) / self._rate
        lost = self._losses.add(seconds, block.arrived, block.delay, broken=block.broken)
        begin = self._losses.latest - seconds
        if not self._begun and begin < self._epoch - seconds:
            return []
        items = [] if self._begun else self._begin(begin, len(block.samples))
        if lost:
            items += self.finish()
            items += self._lose(to_samples(lost), len(block.samples))
        return items + self._resample(block.samples)

    @property
    def begun(self) -> bool:
        """Whether any audio has arrived."""
        return self._begun

    def wait(self, now: int) -> list[AudioChunk | Gap]:
        """Return the gap up to `now` (samples) while no audio has arrived."""
        self._reason = self._reason or "absent"
        return self._gap(max(now, self.position), self._reason)

    def finish(self) -> list[AudioChunk | Gap]:
        """Flush the resampler, at the end or before a gap."""
        items = self._resample(np.zeros((0, len(self._channels)), np.float32), last=True)
        self._restart()
        return items

    def _begin(self, captured: float, length: int) -> list[AudioChunk | Gap]:
        self._begun = True
        start = self._place(to_samples(captured - self._epoch), self.position, length)
        self._shift = captured - self._losses.origin - start / SAMPLE_RATE
        missing = start - self.position
        if missing > to_samples(_MAX_LEADING_SILENCE) or self._reason:
            items = self._gap(start, self._reason or "absent")
        else:
            silence = np.zeros(missing, np.float32)
            items = [AudioChunk(c, self.position, silence) for c in self._channels if missing]
        self.position = start
        return items

    def _lose(self, samples: int, length: int) -> list[AudioChunk | Gap]:
        end = self.position + samples
        place = self._place(end - self._excess, self.position + 1, length)
        self._excess += place - end
        self._shift -= (place - end) / SAMPLE_RATE
        return self._gap(place, "overflow")

    def _place(self, wanted: int, earliest: int, length: int) -> int:
        """Return the start nearest to `wanted` from which a block of `length` samples ends at the end of a frame."""
        beyond = (wanted + self._resampler.ready(length)) % FRAME
        place = wanted - beyond + (FRAME if beyond > FRAME // 2 else 0)
        return place + max(0, -(-(earliest - place) // FRAME) * FRAME)

    def _gap(self, end: int, reason: str) -> list[AudioChunk | Gap]:
        start, self.position = self.position, end
        return [Gap(channel, start, end, reason) for channel in self._channels if end > start]

    def _resample(self, samples: Samples, *, last: bool = False) -> list[AudioChunk | Gap]:
        if len(self._channels) == 1 and samples.shape[1] > 1:
            samples = samples.mean(axis=1, keepdims=True)
        audio = self._resampler.push(samples, last=last)
        if not len(audio):
            return []
        start, self.position = self.position, self.position + len(audio)
        captured = self._losses.origin + self._shift + self.position / SAMPLE_RATE
        return [
            AudioChunk(channel, start, np.ascontiguousarray(audio[:, index]), captured)
            for index, channel in enumerate(self._channels)
        ]

    def _restart(self) -> None:
        self._resampler = Resampler(self._rate, len(self._channels))

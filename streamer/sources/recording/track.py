"""The time line of one audio track: where its frames belong, what is missing, what is damaged."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import av

from streamer.sources.recording.frames import Planes, planes

_JUMP = 0.05
"""Seconds by which time stamps may be off: they are rounded. Beyond, audio is missing."""
_DAMAGE_JUMP = 0.002
"""The same directly after damage."""
_MAX_JUMP = 24 * 3600.0
"""Seconds of a jump beyond which the time stamps themselves are damaged."""
_TAGS = (b"ID3", b"TAG", b"APETAGEX", b"#!AMR", b"fLaC", b"LYRICSBEGIN")
"""Beginnings of what stands between joined files and is no audio."""
_JOINT_PACKETS = 4
"""Packets around the joint of two files that may be undecodable without being damaged."""
_MAX_PLACES = 3
"""Places of damage that a message names."""


@dataclass(frozen=True, slots=True)
class Missing:
    """A span without audio: seconds since the conversation began."""

    start: float
    end: float
    reason: str


class Track:
    """Puts the decoded frames of one track on the time axis of the conversation.

    Time stamps decide. Those that jump forward leave a gap; those that go back begin a joined recording, which
    follows without a gap.

    Args:
        rate: sample rate in Hz that the frames are delivered at.
        channels: number of channels that the frames are delivered with.
        layout: FFmpeg's layout of those channels.
        zero: time stamp of the conversation's begin, in seconds; None: the first frame's.
        is_broken: tells, where time stamps jump, whether the file is damaged there.
    """

    def __init__(
        self,
        rate: int,
        channels: int,
        layout: Any,
        zero: float | None,
        is_broken: Callable[[], bool],
    ) -> None:
        self._rate = rate
        self._channels = channels
        self._layout = layout
        self._zero = zero
        self._samples = 0
        """Samples since the last gap."""
        self._base = 0.0
        """Where those begin, in seconds."""
        self._is_broken = is_broken
        self._joint = 0
        """Packets that may still belong to the joint of two files."""
        self._broken = False
        """Whether damage lies directly before the next frame."""
        self._damages: list[float] = []
        self._converter: Any = None
        """Brings frames of another format into that of the first."""
        self._converts: tuple[int, int, str] | None = None

    @property
    def position(self) -> float:
        """End of the audio so far, in seconds."""
        return self._base + self._samples / self._rate

    @property
    def damage(self) -> str:
        """Damaged places of the track, for people; "" if it is not."""
        places = [f"{seconds:.2f} s" for seconds in self._damages[:_MAX_PLACES]]
        more = len(self._damages) - len(places)
        return ", ".join(places) + (f" and {more} more places" if more else "")

    def fail(self, packet: bytes = b"") -> None:
        """Register something that cannot be read, or a packet that cannot be decoded."""
        if packet.startswith(_TAGS):
            self._joint = _JOINT_PACKETS
        if self._joint:
            self._joint -= 1
            return
        if not self._broken:
            self._damages.append(self.position)
        self._broken = True

    def forgive_end(self) -> None:
        """Forget a single packet at the end: the recording was stopped in the middle of it."""
        if self._broken:
            self._damages.pop()

    def add(self, frame: Any) -> Iterator[Missing | Planes]:
        """Place a frame: yield the gap before it, if any, and its samples."""
        if frame.time is not None:
            yield from self._reach(frame.time)
        yield from self._placed(self._converted(frame))
        self._broken = False
        self._joint = max(0, self._joint - 1)

    def finish(self) -> Iterator[Planes]:
        """Give what a conversion of formats still holds."""
        yield from self._placed(self._flushed())

    def _reach(self, time: float) -> Iterator[Missing]:
        if self._zero is None:
            self._zero = time
        missing = time - self._zero - self.position
        if self._joint or missing < -_JUMP:
            self._zero = time - self.position
            return
        if missing > _MAX_JUMP:
            self._zero = time - self.position
            self.fail()
            return
        if missing > _JUMP and self.position and not self._broken and self._is_broken():
            self.fail()
        if missing > (_DAMAGE_JUMP if self._broken else _JUMP):
            reason = "damaged" if self._broken else "missing in the recording"
            start, end = self.position, time - self._zero
            self._base, self._samples = end, 0
            yield Missing(start, end, reason)

    def _placed(self, frames: Iterable[Any]) -> Iterator[Planes]:
        for frame in frames:
            self._samples += frame.samples
            yield planes(frame, self._channels)

    def _converted(self, frame: Any) -> Iterator[Any]:
        """Give the frame itself, or, where the format has changed, the frame in the format of the first."""
        found = (frame.sample_rate, frame.layout.nb_channels, frame.format.name)
        if found[:2] == (self._rate, self._channels):
            yield from self._flushed()
            yield frame
            return
        if self._converter is None or self._converts != found:
            yield from self._flushed()
            self._converts = found
            self._converter = av.AudioResampler("fltp", self._layout, self._rate)
        frame.pts = None
        yield from self._converter.resample(frame)

    def _flushed(self) -> Iterator[Any]:
        """End a conversion of formats; give what it holds."""
        converter, self._converter = self._converter, None
        if converter is not None:
            yield from converter.resample(None)

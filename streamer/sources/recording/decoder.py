"""Decoding, by PyAV: a file's audio at its own rate, and where it is damaged."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from streamer.audio import Samples
from streamer.errors import SourceError, UserError
from streamer.sources.recording.integrity import cut_off

MAX_CHANNELS = 8
_MAX_RATE = 768_000

_JUMP_SECONDS = 0.05
"""A step of the timestamps beyond this is missing audio; below it is their rounding."""

_SHORT_SECONDS = 0.5
"""A file may be this much shorter than its header says: headers round, encoders pad."""

_FORMATS: dict[str, tuple[Any, int, float]] = {
    "u8": (np.uint8, 128, 2.0**-7),
    "s16": (np.int16, 0, 2.0**-15),
    "s32": (np.int32, 0, 2.0**-31),
    "s64": (np.int64, 0, 2.0**-63),
    "flt": (np.float32, 0, 1.0),
    "dbl": (np.float64, 0, 1.0),
}
"""FFmpeg's sample formats: their type, what stands for 0, and what a step is worth."""

_GAPS_ARE_LEGAL = ("matroska", "webm")
"""Containers whose recorders leave out what was not sent; elsewhere a jump means damage."""


@dataclass(frozen=True, slots=True)
class Block:
    """Decoded audio: float32 [n, channels] in [-1, 1] at the file's rate, each channel contiguous."""

    samples: Samples
    last: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """Seconds that the container says were never recorded."""

    seconds: float
    reason: str = "missing in the recording"


class Decoder:
    """A file open for decoding; a context manager.

    Raises:
        UserError: on construction, if the file is not audio that can be decoded.
    """

    def __init__(self, path: Path) -> None:
        import av
        import av.logging

        # Damage is told by our own errors; the library would write to stderr from its threads.
        av.logging.set_level(None)
        self._path = path
        self._errors: tuple[type[Exception], ...] = (av.error.FFmpegError, ValueError)
        try:
            self._container: Any = av.open(str(path), mode="r", metadata_errors="replace")
        except self._errors:
            raise UserError(f"{path}: not a recording (no audio format recognised)") from None
        streams = self._container.streams.audio
        if not streams or streams[0].codec_context is None:
            self._container.close()
            raise UserError(f"{path}: holds no audio that can be decoded")
        self._stream: Any = streams[0]
        self.channels: int = self._stream.channels
        self.rate: int = self._stream.rate
        if not (0 < self.rate <= _MAX_RATE and self.channels > 0):
            self._container.close()
            raise UserError(f"{path}: the header makes no sense ({self.rate} Hz)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._container.close()

    @property
    def duration(self) -> float | None:
        """Seconds, as the file's header tells."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / 1e6 if self._container.duration else None

    def blocks(self, size: int) -> Iterator[Block | Missing]:
        """All the audio, in blocks of at least `size` samples but the last.

        Raises:
            SourceError: where the file is damaged or was cut off; all before it has been given.
        """
        waiting: list[list[Samples]] = []
        held = 0
        damage: SourceError | None = None
        frames = self._frames()
        while True:
            try:
                item = next(frames, None)
            except SourceError as error:
                damage, item = error, None
            if isinstance(item, list):
                waiting.append(item)
                held += len(item[0])
                if held < size:
                    continue
            last = item is None
            yield Block(_joined(waiting, self.channels), last)
            waiting.clear()
            held = 0
            if isinstance(item, Missing):
                yield item
            if last:
                break
        if damage:
            raise damage

    def _frames(self) -> Iterator[list[Samples] | Missing]:
        """The audio as it comes from the decoder, an array for each channel, in no particular range."""
        first: float | None = None
        position = 0.0
        try:
            for frame in self._container.decode(self._stream):
                if frame.sample_rate != self.rate or frame.layout.nb_channels != self.channels:
                    raise self._damage(position, "the format changes")
                time = frame.time
                if time is not None:
                    first = time if first is None else first
                    if (missing := time - first - position) > _JUMP_SECONDS:
                        if not any(n in self._container.format.name for n in _GAPS_ARE_LEGAL):
                            raise self._damage(position, f"{missing:.2f} s of audio are missing")
                        yield Missing(missing)
                        position += missing
                position += frame.samples / self.rate
                yield _channels(frame, self.channels)
        except self._errors:
            raise self._damage(position, "the audio cannot be decoded") from None
        self._require_whole(position)

    def _require_whole(self, position: float) -> None:
        duration = self.duration
        exact = "mp3" not in self._container.format.name
        short = exact and duration is not None and position < duration - _SHORT_SECONDS
        if short or cut_off(self._path, position):
            raise self._damage(position, "the file was cut off")

    def _damage(self, position: float, what: str) -> SourceError:
        return SourceError(f"{self._path.name}: damaged at {position:.2f} s: {what}")


def _channels(frame: Any, channels: int) -> list[Samples]:
    """A decoded frame as one float32 array for each channel.

    FFmpeg's own conversion gives the same to the bit, but costs half as much as decoding.
    """
    name = frame.format.name
    kind, zero, scale = _FORMATS[name.removesuffix("p")]
    if name.endswith("p"):
        samples = [np.frombuffer(plane, kind, frame.samples) for plane in frame.planes]
    else:
        packed = np.frombuffer(frame.planes[0], kind, frame.samples * channels)
        samples = [packed[channel::channels] for channel in range(channels)]
    if kind is np.float32:
        return samples
    with np.errstate(over="ignore"):  # a double beyond all floats becomes infinite, and then 1
        return [(s.astype(np.float32) - np.float32(zero)) * np.float32(scale) for s in samples]


def _joined(frames: list[list[Samples]], channels: int) -> Samples:
    """Frames as one array [n, channels], each channel contiguous, all of it in [-1, 1]."""
    samples = np.empty((channels, sum(len(frame[0]) for frame in frames)), np.float32)
    if frames:
        for pieces, whole in zip(zip(*frames, strict=True), samples, strict=True):
            np.concatenate(pieces, out=whole)
    # Whatever is not finite makes the sum so.
    if not np.isfinite(samples.sum(dtype=np.float64)):
        np.nan_to_num(samples, copy=False, nan=0.0, posinf=1.0, neginf=-1.0)
    return np.clip(samples, -1.0, 1.0, out=samples).T

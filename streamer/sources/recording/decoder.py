"""Decoding with PyAV: the audio of one track of a file at its own rate, with what is missing in it."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from streamer.audio import Samples
from streamer.errors import SourceError, UserError
from streamer.media import open_media
from streamer.sources.recording.continuity import SELF_FRAMED, Continuity
from streamer.sources.recording.frames import Planes, joined
from streamer.sources.recording.integrity import cut_off, holds_another, riff_audio
from streamer.sources.recording.track import Missing, Track

MAX_CHANNELS = 8
MIN_RATE, MAX_RATE = 4_000, 384_000
_MAX_FAILURES = 200
"""Errors of reading in a row after which a file is given up."""
_BLOCK_VALUES = 1 << 22
"""Most values of a block, all channels together: 16 MiB."""

_COUNTED = ("flac", "mov", "aiff", "caf", "w64", "au", "tta", "wv")
"""Formats whose headers count the samples of the audio itself; a duration of others may be a guess."""
_ZERO_BASED = ("matroska", "mov")
"""Formats whose clocks begin at 0 with the recording."""
_FREE_RUNNING = ("mpegts", "mpeg", "asf", "avi", "flv")
"""Formats whose clocks begin anywhere: there the earliest track begins at 0."""


@dataclass(frozen=True, slots=True)
class Headerless:
    """Encoding of audio without a header."""

    encoding: str
    """One of `streamer.media.RAW_FORMATS`."""
    rate: int
    channels: int


@dataclass(frozen=True, slots=True)
class Block:
    """Decoded audio: float32 [n, channels] in [-1, 1] at the file's rate, each channel contiguous."""

    samples: Samples
    last: bool
    """Whether no audio follows directly: here is the end, or a gap."""


class Decoder:
    """One audio track of a file, open for decoding; a context manager.

    Args:
        path: the file.
        track: which of its audio tracks, from 0.
        headerless: how to read a file without a header; None: its format is recognised.

    Raises:
        UserError: on construction, if the file is not audio that can be decoded.
    """

    def __init__(self, path: Path, *, track: int = 0, headerless: Headerless | None = None) -> None:
        import av
        import av.logging

        # Damage is reported by our own errors; the library would write to stderr from its threads.
        av.logging.set_level(None)
        self._path = path
        self._errors: tuple[type[Exception], ...] = (av.error.FFmpegError, ValueError)
        self._headerless = headerless
        self._container: Any = self._open()
        try:
            self._stream: Any = self._select(track)
        except BaseException:
            self._container.close()
            raise
        self.tracks: int = len(self._container.streams.audio)
        """Number of audio tracks in the file."""
        self.channels: int = self._stream.channels
        self.rate: int = self._stream.rate

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._container.close()

    @property
    def duration(self) -> float | None:
        """Seconds of audio, as far as the file says."""
        if self._stream.duration is not None:
            return float(self._stream.duration * self._stream.time_base)
        return self._container.duration / 1e6 if self._container.duration else None

    @property
    def created(self) -> datetime | None:
        """Time of the recording, as the file says; in UTC unless it says otherwise."""
        text = self._container.metadata.get("creation_time", "")
        try:
            created = datetime.fromisoformat(text)
        except ValueError:
            return None
        if created.year < 1990:  # a clock that was never set: 1904 or 1970
            return None
        return created if created.tzinfo else created.replace(tzinfo=UTC)

    @property
    def exceeds_header(self) -> bool:
        """Whether the file holds more audio than its header says; all of it is decoded."""
        riff = riff_audio(self._path) if self._is("wav") else None
        return riff is not None and riff.goes_on(self._path)

    def blocks(self, size: int) -> Iterator[Block | Missing]:
        """Decode all the audio, in blocks of at least `size` samples but before gaps and at the end.

        Raises:
            SourceError: at the end, if the file was damaged or cut off; all that can be decoded has been given.
        """
        size = min(size, _BLOCK_VALUES // self.channels)
        waiting: list[Planes] = []
        held = 0
        continuity = Continuity(
            self._path, self._formats, is_alone=len(self._container.streams) == 1
        )
        track = Track(
            self.rate,
            self.channels,
            self._stream.codec_context.layout,
            self._zero(),
            continuity.is_broken,
        )
        for item in self._items(track, continuity):
            if isinstance(item, Missing):
                yield Block(joined(waiting, self.channels), last=True)
                yield item
                waiting, held = [], 0
                continue
            if held >= size:
                yield Block(joined(waiting, self.channels), last=False)
                waiting, held = [], 0
            waiting.append(item)
            held += len(item[0])
        yield Block(joined(waiting, self.channels), last=True)
        self._require_whole(track)

    def _open(self) -> Any:
        raw = self._headerless
        try:
            if raw:
                return open_media(self._path, raw.encoding, rate=raw.rate, channels=raw.channels)
            if _is_rifx(self._path):  # FFmpeg would take its bytes in the wrong order
                raise UserError(
                    f"{self._path}: big-endian WAV (RIFX) cannot be decoded; convert it to WAV"
                )
            riff = riff_audio(self._path)
            more = {"ignore_length": "1"} if riff and riff.goes_on(self._path) else {}
            return open_media(self._path, extra=more)
        except self._errors:
            raise UserError(
                f"{self._path}: not a recording (no audio format recognised); "
                "for audio without a header name its encoding, e.g. --format mulaw"
            ) from None

    def _select(self, track: int) -> Any:
        streams = self._container.streams.audio
        if not streams:
            raise UserError(f"{self._path}: holds no audio that can be decoded")
        if track >= len(streams):
            raise UserError(f"{self._path}: has {len(streams)} audio tracks, no track {track + 1}")
        stream = streams[track]
        if stream.codec_context is None:
            raise UserError(f"{self._path}: holds no audio that can be decoded")
        if not MIN_RATE <= stream.rate <= MAX_RATE:
            raise UserError(
                f"{self._path}: a sample rate of {stream.rate} Hz; {MIN_RATE} to {MAX_RATE} can be analysed"
            )
        if not 1 <= stream.channels <= MAX_CHANNELS:
            raise UserError(
                f"{self._path}: {stream.channels} channels; at most {MAX_CHANNELS} can be replayed"
            )
        return stream

    @property
    def _formats(self) -> list[str]:
        return [*self._container.format.name.split(",")]

    def _is(self, *formats: str) -> bool:
        return any(name in formats for name in self._formats)

    def _zero(self) -> float | None:
        """Return the time stamp at which the conversation begins; None: that of the first frame."""
        if self._is(*_ZERO_BASED):
            return 0.0
        if self._is(*_FREE_RUNNING) and self._container.start_time is not None:
            return float(self._container.start_time) / 1e6
        return None

    def _items(self, track: Track, continuity: Continuity) -> Iterator[Missing | Planes]:
        """Decode packet by packet, so that one that is damaged costs no other."""
        failed = 0
        for packet in self._packets(track):
            continuity.follow(packet)
            try:
                frames = packet.decode()
            except self._errors:
                track.fail(bytes(packet))
                failed += 1
                continue
            for frame in frames:
                failed = 0
                yield from track.add(frame)
        if failed == 1 and self._is(*SELF_FRAMED):
            track.forgive_end()
        yield from track.finish()

    def _packets(self, track: Track) -> Iterator[Any]:
        """Demultiplex, beginning again behind what cannot be read."""
        failures = 0
        while failures < _MAX_FAILURES:
            try:
                for packet in self._container.demux(self._stream):
                    yield packet
                    failures = 0
            except self._errors:
                track.fail()
                failures += 1
                continue
            return

    def _require_whole(self, track: Track) -> None:
        """Raise `SourceError` if the file is damaged or was cut off."""
        name, seconds = self._path.name, track.position
        if track.damage:
            raise SourceError(
                f"{name}: damaged at {track.damage}; what could be decoded is analysed"
            )
        counted = self._stream.duration is not None and self._is(*_COUNTED)
        duration = self.duration if counted else self._tagged_duration()
        if self._headerless is None and cut_off(self._path, seconds, duration):
            raise SourceError(f"{name}: damaged at {seconds:.2f} s: the file was cut off")
        if self._is("mov", "aiff") and holds_another(self._path):
            raise SourceError(
                f"{name}: another recording follows in the same file, which is not analysed"
            )

    def _tagged_duration(self) -> float | None:
        """Return seconds of the track as Matroska's statistics tags state them; None if there are none."""
        hours, _, rest = self._stream.metadata.get("DURATION", "").partition(":")
        minutes, _, seconds = rest.partition(":")
        try:
            return int(hours) * 3600 + int(minutes) * 60 + float(seconds)
        except ValueError:
            return None


def _is_rifx(path: Path) -> bool:
    with path.open("rb") as handle:
        return handle.read(4) == b"RIFX"

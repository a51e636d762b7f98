"""Pieces of speech as live utterances have them: cut out by the segmenter, short, over a telephone, in a room.

Every piece has versions. What is drawn for a version depends on the piece and the version alone.
"""

import json
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

import numpy as np

from streamer.audio import SAMPLE_RATE, to_samples
from streamer.errors import UserError
from tools.data.augmentation import Augmentation, Recipe, Wave, crop, synthetic_room, telephone
from tools.data.cache import DecodedClips
from tools.data.decoding import decode_channels
from tools.data.manifest import Clip

LIVE = Recipe(noise=0.5, room=0.35, telephone=0.35, packets=0.15)
"""Stronger than the default: calls come over telephones and through rooms."""

CALLS = 100_000
"""Number of the first utterance of the recorded calls among all pieces."""

_LONGEST_S = 7.0
_CALM_PIECE_S = 0.8, 6.0
_SHORT_S = 0.5, 1.6
_STRETCH_S = 0.4, 1.3
_AUGMENTED_SHORT = 0.4
_BEFORE_S, _AFTER_S = (0.1, 0.35), (0.0, 0.6)
_ROOMS = 24
_FRAME = to_samples(0.010)
_QUIET = 10**-2.5


class Version(StrEnum):
    """What is done to a piece."""

    WHOLE = "whole"
    """As recorded."""
    LIVE = "live"
    """With as much silence around it as the segmenter leaves."""
    AUGMENTED = "aug0"
    """Live, then a room, noise, a telephone, clipping, lost packets."""
    SHORT = "short"
    """A stretch of 0.5 to 1.6 s, augmented now and then."""
    TELEPHONE = "teldev"
    """As recorded, over a telephone: for evaluation."""
    STRETCH = "shortdev"
    """A stretch of 0.4 to 1.3 s of the loud part: for evaluation."""


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a clip.

    Attributes:
        number: Of the clip in the manifest; of the n-th utterance of the recorded calls `CALLS` + n.
        start: First sample.
        stop: One behind the last sample.
        part: Number of the piece in the clip.
    """

    number: int
    start: int
    stop: int
    part: int = 0


class Speech:
    """The clips of a manifest and the utterances of recorded calls, as waves and in versions.

    Args:
        clips: Of the manifest.
        calls: Utterances of recorded calls.
        noises: Numbers of the clips to mix in, of which those of the development part are left out.
    """

    def __init__(self, clips: DecodedClips, calls: "Calls", noises: Sequence[int]) -> None:
        self._clips = clips
        self._calls = calls
        self.noises = [
            i for i in noises if clips.clips[i].split != "dev" and self._length(i) > SAMPLE_RATE
        ]
        waves = [clips.wave(i) for i in self.noises]
        decays = np.linspace(0.15, 1.0, _ROOMS)
        rooms = [synthetic_room(d, np.random.default_rng(n)) for n, d in enumerate(decays)]
        self._augmentation = Augmentation(waves, rooms, LIVE, seed=7)

    def clip(self, piece: Piece) -> Clip:
        """Return the clip that a piece is of."""
        if piece.number >= CALLS:
            return self._calls.clips[piece.number - CALLS]
        return self._clips.clips[piece.number]

    def clip_pieces(self, numbers: Sequence[int]) -> list[Piece]:
        """Return each clip as one piece of at most 7 s."""
        most = to_samples(_LONGEST_S)
        return [Piece(i, 0, min(self._length(i), most)) for i in numbers]

    def calm_pieces(self, numbers: Sequence[int]) -> list[Piece]:
        """Long clips cut into pieces of 0.8 to 6 s."""
        return [piece for number in numbers for piece in _cut(number, self._length(number))]

    def call_pieces(self) -> list[Piece]:
        """Return the utterances of the recorded calls."""
        waves = self._calls.waves
        return [Piece(CALLS + n, 0, len(wave)) for n, wave in enumerate(waves) if len(wave)]

    def call_hours(self) -> dict[str, float]:
        """Duration of each recorded call in hours, pauses counted."""
        return {name: length / 3600.0 for name, length in self._calls.durations.items()}

    def wave(self, piece: Piece, version: Version) -> Wave:
        """Return a version of a piece: samples [n], 0.1 s at least."""
        wave = self._version(piece, version)
        return np.pad(wave, (0, max(0, to_samples(0.1) - len(wave))))

    def _version(self, piece: Piece, version: Version) -> Wave:
        wave = self._recorded(piece)
        rng = np.random.default_rng((zlib.crc32(version.value.encode()), piece.number, piece.part))
        if version is Version.WHOLE:
            return wave
        if version is Version.TELEPHONE:
            return telephone(wave)
        around = rng.uniform(*_BEFORE_S), rng.uniform(*_AFTER_S)
        if version is Version.STRETCH:
            return crop(loud_part(wave, 0.0, 0.0), _seconds(rng, _STRETCH_S), rng)
        live = loud_part(wave, *around)
        key = piece.number * 100 + piece.part
        if version is Version.AUGMENTED:
            live = self._augmentation(live, epoch=0, clip=key)
        elif version is Version.SHORT:
            live = crop(live, _seconds(rng, _SHORT_S), rng)
            if rng.random() < _AUGMENTED_SHORT:
                live = self._augmentation(live, epoch=55, clip=key)
        return live

    def _recorded(self, piece: Piece) -> Wave:
        if piece.number >= CALLS:
            return self._calls.waves[piece.number - CALLS]
        return self._clips.wave(piece.number)[piece.start : piece.stop]

    def _length(self, number: int) -> int:
        return int(self._clips.offsets[number + 1] - self._clips.offsets[number])


@dataclass(frozen=True)
class Calls:
    """The utterances of recorded calls.

    Attributes:
        clips: Of each utterance; the speaker is the recording.
        waves: Samples of each.
        durations: Of each recording in seconds.
    """

    clips: list[Clip]
    waves: list[Wave]
    durations: Mapping[str, float] = field(default_factory=dict)

    @classmethod
    def of(cls, recordings: Path, events: Path) -> "Calls":
        """Cut recordings where the segmenter did.

        Args:
            recordings: Folder of FILE.ogg.
            events: Folder of JSON lines, by `streamer replay --speed max --set asr.backend=none --jsonl FOLDER/ ...`.

        Raises:
            UserError: There are no events, or the recording of some is missing.
        """
        files = sorted(events.glob("*.jsonl"))
        if not files:
            raise UserError(f"{events}: no events here")
        clips: list[Clip] = []
        waves: list[Wave] = []
        durations: dict[str, float] = {}
        for file in files:
            session, utterances = _session(file)
            source = Path(session["source"]).name
            name = Path(source).stem
            channels = decode_channels(recordings / source)
            durations[name] = channels.shape[1] / SAMPLE_RATE
            for wave in _utterances(utterances, session["channels"], channels):
                clips.append(Clip(f"{source}#{len(clips)}", name, corpus="calls", split="train"))
                waves.append(wave)
        return cls(clips, waves, durations)

    def only(self, recordings: set[str]) -> "Calls":
        """Those of some recordings; the others keep their numbers, and are silent."""
        return Calls(
            self.clips,
            [
                wave if clip.speaker in recordings else wave[:0]
                for clip, wave in zip(self.clips, self.waves, strict=True)
            ],
            {name: length for name, length in self.durations.items() if name in recordings},
        )


def loud_part(wave: Wave, before: float, after: float) -> Wave:
    """From `before` seconds before the first loud 10 ms to `after` seconds behind the last one."""
    frames = len(wave) // _FRAME
    if frames < 3:
        return wave
    powers = np.square(wave[: frames * _FRAME]).reshape(frames, _FRAME).mean(axis=1)
    loud = np.flatnonzero(powers > powers[powers >= powers.mean() / 10].mean() * _QUIET)
    if not len(loud):
        return wave
    start = max(0, int(loud[0]) * _FRAME - to_samples(before))
    return wave[start : (int(loud[-1]) + 1) * _FRAME + to_samples(after)]


def _seconds(rng: np.random.Generator, bounds: tuple[float, float]) -> int:
    """Return samples of a duration drawn between bounds in seconds."""
    return int(rng.uniform(*bounds) * SAMPLE_RATE)


def _cut(number: int, length: int) -> Iterator[Piece]:
    shortest, _ = _CALM_PIECE_S
    rng = np.random.default_rng(number)
    start = part = 0
    while length - start > to_samples(shortest):
        stop = min(length, start + _seconds(rng, _CALM_PIECE_S))
        yield Piece(number, start, stop, part)
        start, part = stop, part + 1


def _session(file: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the start and the utterances of the session in a file of events."""
    events = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    started = [event for event in events if event["type"] == "session_started"]
    if len(started) != 1:
        raise UserError(f"{file}: {len(started)} sessions instead of one")
    return started[0], [event for event in events if event["type"] == "utterance"]


def _utterances(
    events: Sequence[dict[str, Any]], names: Sequence[str], channels: Wave
) -> Iterator[Wave]:
    """Utterances cut out of a recording [channels, samples] whose channels have names."""
    for event in events:
        is_one = len(channels) > 1 and event["channel"] in names
        wave = channels[names.index(event["channel"])] if is_one else channels.mean(axis=0)
        yield wave[int(event["start"] * SAMPLE_RATE) : int(event["end"] * SAMPLE_RATE)]

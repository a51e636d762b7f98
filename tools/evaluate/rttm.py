"""Who speaks when: RTTM files beside recordings, and on which channel each speaker is."""

import csv
import math
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import UserError
from tools.data.manifest import MANIFEST

SUFFIX = ".rttm"
_AUDIO = (".ogg", ".wav", ".flac")
_FIELDS = 8


@dataclass(frozen=True, slots=True)
class Turn:
    """Somebody speaks: seconds, the channel as the file counts it (from 1), the name."""

    start: float
    end: float
    channel: int
    speaker: str


@dataclass(frozen=True, slots=True)
class Annotated:
    """A recording and its turns; `speakers` are its manifest's, in the order of the channels, if any."""

    file: Path
    turns: tuple[Turn, ...]
    speakers: tuple[str, ...] = ()

    def by_channel(self, channels: int) -> list[list[Turn]]:
        """Return the turns of each channel.

        One channel holds everybody. Of several, a speaker's is the one of that place in the manifest;
        without a manifest that names every speaker, the one that the RTTM gives.

        Raises:
            UserError: A turn is on no channel of the recording.
        """
        if channels == 1:
            return [list(self.turns)]
        named = len(self.speakers) == channels and {t.speaker for t in self.turns} <= set(
            self.speakers
        )
        result: list[list[Turn]] = [[] for _ in range(channels)]
        for turn in self.turns:
            place = self.speakers.index(turn.speaker) if named else turn.channel - 1
            if not 0 <= place < channels:
                raise UserError(
                    f"{self.file}: {turn.speaker} is on channel {turn.channel} of {channels}"
                )
            result[place].append(turn)
        return result


def find_annotated(folder: Path) -> list[Annotated]:
    """Return the recordings of a folder that stand beside an RTTM of the same name.

    Raises:
        UserError: There is none, or an RTTM cannot be read or has no recording.
    """
    if not folder.is_dir():
        raise UserError(
            f"{folder}: not a folder; give the one that holds FILE.ogg and FILE{SUFFIX}"
        )
    speakers = _speakers(folder / MANIFEST)
    found = []
    for table in sorted(folder.glob(f"*{SUFFIX}")):
        file = next(filter(Path.is_file, map(table.with_suffix, _AUDIO)), None)
        if file is None:
            raise UserError(f"{table}: no recording ({', '.join(_AUDIO)}) is beside it")
        found.append(Annotated(file, tuple(read_rttm(table)), speakers.get(file.name, ())))
    if not found:
        raise UserError(f"{folder}: no FILE{SUFFIX} here; give the folder that holds them")
    return found


def read_rttm(path: Path) -> list[Turn]:
    """Return the SPEAKER lines of an RTTM (NIST, Rich Transcription 2009 evaluation plan, appendix A).

    Raises:
        UserError: A line cannot be understood.
    """
    turns = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"{path}: cannot be read ({error})") from error
    for number, line in enumerate(lines, start=1):
        fields = line.split()
        if not fields or fields[0] != "SPEAKER":
            continue
        try:
            channel, start, duration = int(fields[2]), float(fields[3]), float(fields[4])
            speaker = fields[_FIELDS - 1]
        except (IndexError, ValueError):
            raise UserError(
                f"{path}, line {number}: expected SPEAKER FILE CHANNEL START DURATION - - NAME"
            ) from None
        if not (0 <= start < math.inf and 0 <= duration < math.inf):
            raise UserError(f"{path}, line {number}: start and duration must be seconds, 0 or more")
        turns.append(Turn(start, start + duration, channel, speaker))
    return turns


def _speakers(manifest: Path) -> dict[str, tuple[str, ...]]:
    """Return the speakers of each file, by its name, where a manifest lists them."""
    if not manifest.is_file():
        return {}
    with manifest.open(newline="", encoding="utf-8") as file:
        return {
            Path(row.get("path") or "").name: tuple((row.get("speaker") or "").split(","))
            for row in csv.DictReader(file)
        }

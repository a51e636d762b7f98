"""The manifest of a folder of clips: which files there are, who speaks, and what is expressed."""

import csv
import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

from streamer.errors import UserError

MANIFEST = "manifest.csv"
NOISE = "noise"
"""The corpus of noises and room responses: no speech, never a label."""

_REQUIRED = ("path", "speaker")


@dataclass(frozen=True, slots=True)
class Clip:
    """One line of a manifest; what the line does not say is empty.

    Attributes:
        path: Relative to the manifest's folder.
        corpus: The collection it comes from.
        language: ISO 639-1, where known.
        speaker: Unique over corpora.
        gender: As the corpus states it.
        emotion: The corpus's own label.
        emotion4: angry, happy, sad, neutral, or empty where none of them fits.
        split: train, dev, or another name given by the manifest.
        licence: As the manifest states it.
    """

    path: str
    speaker: str
    corpus: str = ""
    language: str = ""
    gender: str = ""
    emotion: str = ""
    emotion4: str = ""
    split: str = ""
    licence: str = ""

    @property
    def is_speech(self) -> bool:
        """Whether somebody speaks in it."""
        return self.corpus != NOISE


def read_manifest(folder: Path) -> list[Clip]:
    """Return the clips of a folder, in the manifest's order.

    Raises:
        UserError: No manifest, a needed column or value is missing, a path leaves the folder or is named twice,
            or a speaker stands in both the train and the dev part.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise UserError(f"{folder}: no {MANIFEST} here; give the folder that holds one")
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        columns = reader.fieldnames or []
        missing = [name for name in _REQUIRED if name not in columns]
        if missing:
            raise UserError(f"{path}: the column {missing[0]!r} is missing")
        clips = [_clip(path, number, row) for number, row in enumerate(reader, start=2)]
    if not clips:
        raise UserError(f"{path}: lists no clips")
    if len({clip.path for clip in clips}) < len(clips):
        raise UserError(f"{path}: a clip is listed twice")
    _check_splits(path, clips)
    return clips


def manifest_hash(folder: Path) -> str:
    """Return the SHA-256 over the manifest and the sizes of the files that it lists."""
    clips = read_manifest(folder)
    digest = hashlib.sha256((folder / MANIFEST).read_bytes())
    for clip in clips:
        file = folder / clip.path
        if not file.is_file():
            raise UserError(f"{file}: listed in {MANIFEST}, but not there")
        digest.update(f"{clip.path}\0{file.stat().st_size}\n".encode())
    return digest.hexdigest()


def indices(clips: Sequence[Clip], keep: Callable[[Clip], bool]) -> list[int]:
    """Return the places of the clips for which `keep` holds."""
    return [index for index, clip in enumerate(clips) if keep(clip)]


def _clip(path: Path, number: int, row: dict[str, str | None]) -> Clip:
    values = {field.name: (row.get(field.name) or "").strip() for field in fields(Clip)}
    for name in _REQUIRED:
        if not values[name]:
            raise UserError(f"{path}, line {number}: no {name}")
    relative = Path(values["path"])
    if relative.is_absolute() or ".." in relative.parts:
        raise UserError(f"{path}, line {number}: {relative} is outside the folder")
    return Clip(**values)


def _check_splits(path: Path, clips: Iterable[Clip]) -> None:
    speakers: dict[str, set[str]] = {"train": set(), "dev": set()}
    for clip in clips:
        if clip.is_speech and clip.split in speakers:
            speakers[clip.split].add(clip.speaker)
    both = speakers["train"] & speakers["dev"]
    if both:
        raise UserError(f"{path}: speaker {min(both)} is in both the train and the dev part")

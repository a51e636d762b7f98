"""Written or transcribed dialogues: who says what, in order, and the emotion expressed."""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from streamer.errors import UserError
from tools.data.tables import read_table

UTTERANCES = "utterances.csv.gz"
MAX_UTTERANCES = 2_000_000

_REQUIRED = ("dialogue_id", "turn", "speaker", "text")

_SAME_EMOTION = {
    "anger": "angry", "mad": "angry",
    "joy": "happy", "joyful": "happy", "happiness": "happy", "excited": "happy",
    "sadness": "sad",
    "no_emotion": "neutral",
    "scared": "fear", "fearful": "fear",
    "surprised": "surprise",
    "disgusted": "disgust",
}  # fmt: skip
"""Names of the sets for what others call otherwise; any other name is kept."""


@dataclass(frozen=True, slots=True)
class Turn:
    """One utterance of a dialogue.

    Attributes:
        speaker: Who speaks, within the dialogue.
        text: What is said.
        emotion: In the names that all sets share; the set's own where it has no counterpart.
        emotion4: angry, happy, sad, neutral, or empty where none of them fits.
    """

    speaker: str
    text: str
    emotion: str
    emotion4: str


@dataclass(frozen=True, slots=True)
class TextDialogue:
    """A dialogue, its turns in order.

    Attributes:
        corpus: The set it comes from.
        name: Unique within the set.
        split: As published; empty where the set has none.
        turns: One at least.
    """

    corpus: str
    name: str
    split: str
    turns: tuple[Turn, ...]


def read_dialogues(folder: Path) -> list[TextDialogue]:
    """Return all dialogues of a folder, in the order of its file.

    What would be counted twice when sets are pooled is left out: a dialogue with any utterance marked `in_meld`, and
    utterances marked as duplicates of others (a dialogue goes when nothing of it is left).

    Raises:
        UserError: There is no such file, or it is damaged or lacks a column or a value.
    """
    rows = _rows(folder)
    grouped: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        grouped.setdefault(row["dialogue_id"], []).append(row)
    dialogues = []
    for name, members in grouped.items():
        if any(row.get("in_meld") for row in members):
            continue
        kept = [row for row in members if not row.get("duplicate")]
        if not kept:
            continue
        kept.sort(key=lambda row: int(row["turn"]))
        split = kept[0].get("split", "")
        turns = tuple(_turn(row) for row in kept)
        dialogues.append(TextDialogue(folder.name, name, split, turns))
    if not dialogues:
        raise UserError(f"{folder / UTTERANCES}: holds no dialogues")
    return dialogues


def in_split(dialogues: Iterable[TextDialogue], *splits: str) -> list[TextDialogue]:
    """Return those of one published part, or of several."""
    return [dialogue for dialogue in dialogues if dialogue.split in splits]


def utterances_hash(folder: Path) -> str:
    """Return the SHA-256 of the folder's file."""
    return hashlib.sha256((folder / UTTERANCES).read_bytes()).hexdigest()


def _rows(folder: Path) -> list[dict[str, str]]:
    path = folder / UTTERANCES
    table = read_table(path, _REQUIRED, MAX_UTTERANCES)
    return [_checked(path, number, row) for number, row in table]


def _checked(path: Path, number: int, row: Mapping[str, str | None]) -> dict[str, str]:
    values = {name: (value or "").strip() for name, value in row.items() if name}
    for name in ("dialogue_id", "speaker"):
        if not values[name]:
            raise UserError(f"{path}, line {number}: no {name}")
    if not values["turn"].isdecimal():
        raise UserError(f"{path}, line {number}: the turn {values['turn']!r} is no number")
    return values


def _turn(row: Mapping[str, str]) -> Turn:
    emotion = row.get("emotion", "")
    return Turn(
        row["speaker"], row["text"], _SAME_EMOTION.get(emotion, emotion), row.get("emotion4", "")
    )

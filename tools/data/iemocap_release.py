"""IEMOCAP as it is released: waveforms, annotations and transcriptions of each session, in folders.

SessionN/sentences/wav/DIALOGUE/UTTERANCE.wav
SessionN/dialog/EmoEvaluation/DIALOGUE.txt     [start - end] UTTERANCE emotion [valence, activation, dominance]
SessionN/dialog/transcriptions/DIALOGUE.txt    UTTERANCE [start-end]: text
"""

import hashlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from streamer.errors import UserError
from tools.data.iemocap import FRAME_S, Utterance, in_dialogues

MAX_TEXT_BYTES = 10_000_000

EMOTIONS = {
    "ang": "anger",
    "hap": "happiness",
    "exc": "excited",
    "sad": "sadness",
    "neu": "neutral",
    "fru": "frustration",
    "sur": "surprise",
    "fea": "fear",
    "dis": "disgust",
    "oth": "other",
    "xxx": "undecided",
}
"""The release's abbreviations."""
_EMOTION4 = {"ang": "angry", "hap": "happy", "exc": "happy", "sad": "sad", "neu": "neutral"}

_ANNOTATED = re.compile(r"^\[([\d.]+) - ([\d.]+)\]\s+(\w+)\s+([a-z]{3})\b")
_SAID = re.compile(r"^(\w+) \[[\d.]+-[\d.]+\]:\s*(.*)$")
_NAME = re.compile(r"^(Ses(\d\d)[FM]_(impro|script)\w+)_([FM])\w+$")


def read_release(root: Path, sessions: Sequence[int]) -> list[list[Utterance]]:
    """Return the dialogues of some sessions, the utterances of each in the order in which they end.

    Args:
        root: The folder that holds Session1, Session2, ...
        sessions: Their numbers.

    Raises:
        UserError: A session is not there, or nothing in it is annotated.
    """
    utterances: list[Utterance] = []
    for session in sessions:
        folder = root / f"Session{session}"
        annotations = folder / "dialog" / "EmoEvaluation"
        if not annotations.is_dir():
            raise UserError(
                f"{annotations}: not there; give the folder IEMOCAP_full_release, which holds Session{session}"
            )
        texts = dict(_said(_texts_in(folder / "dialog" / "transcriptions")))
        found = list(_annotated(_texts_in(annotations), texts))
        if not found:
            raise UserError(f"{annotations}: no annotated utterance in it")
        utterances += found
    return in_dialogues(utterances)


def wave_path(root: Path, utterance: Utterance) -> Path:
    """Return where an utterance's waveform lies."""
    folder = root / f"Session{utterance.session}" / "sentences" / "wav"
    return folder / utterance.dialogue / f"{utterance.name}.wav"


def release_hash(root: Path, dialogues: Sequence[Sequence[Utterance]]) -> str:
    """Return the SHA-256 over the utterances, what is known of them, and the sizes of their waveforms."""
    digest = hashlib.sha256()
    for utterance in (u for dialogue in dialogues for u in dialogue):
        path = wave_path(root, utterance)
        size = path.stat().st_size if path.is_file() else -1
        digest.update(f"{utterance}\0{size}\n".encode())
    return digest.hexdigest()


def _texts_in(folder: Path) -> Iterator[str]:
    """Yield the lines of the folder's text files; the resource forks that some archives hold (._NAME) are none."""
    for path in sorted(folder.glob("*.txt")):
        if path.name.startswith("."):
            continue
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise UserError(f"{path}: more than {MAX_TEXT_BYTES} bytes; this is not of the release")
        yield from path.read_text(encoding="utf-8", errors="replace").splitlines()


def _said(lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    for line in lines:
        if match := _SAID.match(line.strip()):
            yield match[1], match[2].strip()


def _annotated(lines: Iterable[str], texts: dict[str, str]) -> Iterator[Utterance]:
    for line in lines:
        match = _ANNOTATED.match(line)
        name = _NAME.match(match[3]) if match else None
        if match is None or name is None:
            continue
        yield Utterance(
            name=match[3],
            dialogue=name[1],
            speaker=f"Ses{name[2]}_{name[4]}",
            text=texts.get(match[3], ""),
            emotion=EMOTIONS.get(match[4], "other"),
            emotion4=_EMOTION4.get(match[4], ""),
            session=int(name[2]),
            scenario=name[3],
            end=float(match[2]),
            hop_s=FRAME_S,
        )

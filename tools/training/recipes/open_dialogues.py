"""The written dialogues that the shipped bundle learns from, and how often each utterance is drawn."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from tools.data.conversations import TextDialogue, in_split, read_dialogues, utterances_hash
from tools.training.tasks.text import LabelledTexts

LABELS = ("angry", "happy", "sad", "neutral")
OTHER = "other"
"""What the text stage's own classifier says of every other emotion."""

SHARES: Mapping[str, float] = {"meld": 0.5, "emorynlp": 0.2, "dailydialog": 0.3}
"""Of what the text stage draws, the share of each set: talk counts for more than writing."""


def open_dialogues(data: Path, *splits: str) -> list[TextDialogue]:
    """Return the dialogues of all sets, of some published parts ("train", "val")."""
    folder = data / "conversations"
    return [d for name in SHARES for d in in_split(read_dialogues(folder / name), *splits)]


def open_hashes(data: Path) -> dict[str, str]:
    """Return name and SHA-256 of each set."""
    return {name: utterances_hash(data / "conversations" / name) for name in SHARES}


def labelled_texts(dialogues: Sequence[TextDialogue]) -> LabelledTexts:
    """Return the utterances of dialogues for the text stage: `LABELS` and `OTHER`.

    Sets are drawn by `SHARES`, within a set its classes by the square root of their frequency.
    """
    labels = (*LABELS, OTHER)
    cells, texts = [], []
    for dialogue in dialogues:
        for turn in dialogue.turns:
            if turn.text:
                cells.append((dialogue.corpus, turn.emotion4 or OTHER))
                texts.append(turn.text)
    counts = Counter(cells)
    mass = {c: sum(n**0.5 for (s, _), n in counts.items() if s == c) for c in SHARES}
    weights = [SHARES[c] * counts[c, e] ** 0.5 / mass[c] / counts[c, e] for c, e in cells]
    return LabelledTexts(
        texts,
        np.array([labels.index(emotion) for _, emotion in cells], np.int64),
        np.array(weights),
    )

"""What the bundles `streamer-en-2` and `streamer-open-1` learn from, and under which terms."""

import csv
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from streamer.errors import UserError
from tools.data.cache import DecodedClips, open_clips
from tools.data.conversations import TextDialogue, Turn
from tools.data.manifest import NOISE, Clip
from tools.data.tables import read_table
from tools.data.votes import CREMAD_VOTES, read_votes
from tools.training.recipes.open_dialogues import LABELS, OTHER, labelled_texts, open_dialogues
from tools.training.tasks.rated_texts import rated_texts
from tools.training.tasks.speech_pieces import CALLS, Calls, Piece, Speech
from tools.training.tasks.text import LabelledTexts

CALM = ("librispeech_mini", "natural_")
"""Beginnings of the names of the corpora that nobody labelled, and that are calm."""

STRANGE = (NOISE, "deeply_nonverbal", "emogator")
"""Corpora of what is no speech of our classes."""

OPEN_LABELLED = ("cremad",)
OPEN_CALM = (
    "librispeech_mini",
    "natural_picovoice_s2i",
    "natural_mycroft",
    "natural_sbsamples",
    "natural_vctk287",
)
"""Corpora whose licences allow commercial use and redistribution: ODbL, CC BY, Apache-2.0, public domain."""

_COMMENT = ("split", "text", "emotion", "emotion4")
_MOST_COMMENTS = 200_000
_HELD_OUT = 4
"""Of so many calm speakers one is kept for measuring."""
_NAMES = {"[NAME]": "John", "[RELIGION]": "Christian"}
_GOEMOTIONS_SHARE = 0.2
_HEARD_SHARE = 0.25
"""Of what the text encoder learns of talk, the share of what a recogniser made of it, where there is such."""


@dataclass(frozen=True)
class Terms:
    """What a bundle may learn from.

    Attributes:
        name: Of the bundle.
        version: Of the bundle.
        licence: Of the bundle, in one line.
        open: Only data with licences that allow commercial use and redistribution.
        calm: Share of calm speech in what the audio head draws.
    """

    name: str
    version: str
    licence: str
    open: bool
    calm: float

    def allows(self, clip: Clip) -> bool:
        """Return whether a clip may be learnt from."""
        return not self.open or clip.corpus in (*OPEN_LABELLED, *OPEN_CALM, "calls")


RESEARCH = Terms(
    "streamer-en-2", "2", "non-commercial research; see MODEL_CARD.md", open=False, calm=0.35
)
OPEN = Terms("streamer-open-1", "1", "Apache-2.0; see MODEL_CARD.md", open=True, calm=0.08)
TERMS: Mapping[str, Terms] = {terms.name: terms for terms in (RESEARCH, OPEN)}


class LabelData:
    """All data of one training.

    Args:
        data: Folder with speech/, conversations/, text/ and calls/.
        call_events: See `Calls.of`.
        cache: Where decoded clips are kept.
        terms: What may be learnt from.
        heard: Text of talk -> what a recogniser made of it, for as many texts as there are.
        share: Of the clips to learn from; less than all in a trial.
    """

    def __init__(
        self,
        data: Path,
        call_events: Path,
        cache: Path,
        terms: Terms,
        heard: Mapping[str, str] | None = None,
        share: float = 1.0,
    ) -> None:
        self.terms = terms
        self._share = share
        self._heard = heard or {}
        self._data = data
        self._clips: DecodedClips = open_clips(data / "speech", cache)
        self.sha256 = self._clips.sha256
        calls = Calls.of(data / "calls", call_events)
        if terms.open:
            calls = calls.only(stated_origin(data / "calls" / "manifest.csv"))
        noises = [
            i
            for i, clip in enumerate(self._clips.clips)
            if clip.corpus == NOISE and not (terms.open and "NC" in clip.licence)
        ]
        self.speech = Speech(self._clips, calls, noises)

    def clips_of(self, pieces: Sequence[Piece]) -> list[Clip]:
        """Return the clip of each piece."""
        return [self.speech.clip(piece) for piece in pieces]

    @cached_property
    def groups(self) -> Mapping[str, list[Piece]]:
        """Pieces by what they are for.

        labelled: clips with one of our labels to learn from; development: those for measuring; calm: pieces of calm
        speech to learn from; apart: those for measuring; calls: utterances of the recorded calls; strange: noises,
        vocal bursts and speech of other emotions alone, for measuring.
        """
        clips, speech = self._clips.clips, self.speech
        expressive = [i for i, c in enumerate(clips) if c.emotion4 in LABELS and c.is_speech]
        learnt = [
            i
            for i in expressive
            if clips[i].split == "train" and self.terms.allows(clips[i]) and self._drawn(clips[i])
        ]
        calm = speech.calm_pieces([i for i, c in enumerate(clips) if c.corpus.startswith(CALM)])
        return {
            "labelled": speech.clip_pieces(learnt),
            "development": speech.clip_pieces([i for i in expressive if clips[i].split == "dev"]),
            "calm": [p for p in calm if self.learns_from(p) and self._drawn(speech.clip(p))],
            "apart": [p for p in calm if not self.learns_from(p)],
            "calls": speech.call_pieces(),
            "strange": speech.clip_pieces(
                [i for i, c in enumerate(clips) if c.corpus in STRANGE and c.split == "dev"]
            ),
        }

    def _drawn(self, clip: Clip) -> bool:
        """Return whether a clip is among the share to learn from; a share holds all smaller ones."""
        return zlib.crc32(clip.path.encode()) < self._share * 2**32

    def learns_from(self, piece: Piece) -> bool:
        """Return whether a piece is for training, and allowed."""
        clip = self.speech.clip(piece)
        if not self.terms.allows(clip):
            return False
        if piece.number < CALLS and clip.corpus.startswith(CALM):
            return clip.split == "train" and zlib.crc32(clip.speaker.encode()) % _HELD_OUT != 0
        return clip.split == "train"

    def targets(self, pieces: Sequence[Piece], votes: float, calm: float) -> Tensor:
        """Probabilities of the classes, float32 [n, classes].

        Args:
            pieces: Labelled or calm.
            votes: Weight of listeners' votes against the acted label.
            calm: Probability of neutral for calm speech.
        """
        heard = read_votes(self._data / "speech" / CREMAD_VOTES, LABELS)
        rows = []
        for clip in self.clips_of(pieces):
            if clip.emotion4:
                row = np.eye(len(LABELS))[LABELS.index(clip.emotion4)]
                said = heard.get(Path(clip.path).stem) if clip.corpus == "cremad" else None
                rows.append(row if said is None else votes * said + (1 - votes) * row)
            else:
                rest = (1 - calm) / (len(LABELS) - 1)
                rows.append(np.where(np.array(LABELS) == "neutral", calm, rest))
        return torch.tensor(np.array(rows), dtype=torch.float32)

    def votes(self, pieces: Sequence[Piece]) -> list[str]:
        """Return the label that most listeners hear in the voice of each clip; empty where nobody was asked."""
        heard = read_votes(self._data / "speech" / CREMAD_VOTES, LABELS)
        names = [Path(clip.path).stem for clip in self.clips_of(pieces)]
        return [LABELS[int(heard[name].argmax())] if name in heard else "" for name in names]

    def people(self, pieces: Sequence[Piece]) -> dict[str, list[str]]:
        """Age group and ethnicity of the speaker of each clip of CREMA-D; empty for others."""
        table = read_people(self._data / "speech" / "cremad" / "speakers.csv")
        rows = [table.get(clip.speaker, ("", "")) for clip in self.clips_of(pieces)]
        return {name: [row[i] for row in rows] for i, name in enumerate(("age", "ethnicity"))}

    def rated_texts(self, most: int) -> tuple[list[str], Tensor]:
        """Sentences of EmoBank (training part) and their valence and arousal [n, 2] in [-1, 1]."""
        return rated_texts(self._data, "train", most)

    @cached_property
    def comments(self) -> list[tuple[str, Turn]]:
        """GoEmotions: the part of each comment, and the comment."""
        table = self._data / "text" / "goemotions" / "utterances.csv.gz"
        return [
            (row["split"], Turn("", _named(row["text"]), row["emotion"], row["emotion4"]))
            for _, row in read_table(table, _COMMENT, _MOST_COMMENTS)
        ]

    def first_texts(self) -> LabelledTexts:
        """Return what the text encoder learns first: comments."""
        learnt = [turn for part, turn in self.comments if part == "train"]
        labels = (*LABELS, OTHER)
        classes = [labels.index(turn.emotion4 or OTHER) for turn in learnt]
        counts = Counter(classes)
        weights = np.array([counts[place] ** -0.5 for place in classes])
        return LabelledTexts([t.text for t in learnt], np.array(classes, np.int64), weights)

    def talk_texts(self) -> LabelledTexts:
        """Return what it learns then, where the terms allow: talk, what was heard of it, and a fifth of comments."""
        talk = labelled_texts(open_dialogues(self._data, "train"))
        parts = [(1 - _GOEMOTIONS_SHARE, talk), (_GOEMOTIONS_SHARE, self.first_texts())]
        if places := [i for i, text in enumerate(talk.texts) if text in self._heard]:
            heard = LabelledTexts(
                [self._heard[talk.texts[i]] for i in places],
                talk.targets[places],
                talk.weights[places],
            )
            parts = [(share * (1 - _HEARD_SHARE), texts) for share, texts in parts]
            parts.append((_HEARD_SHARE, heard))
        return LabelledTexts(
            [text for _, texts in parts for text in texts.texts],
            np.concatenate([texts.targets for _, texts in parts]),
            np.concatenate([t.weights / t.weights.sum() * share for share, t in parts]),
        )

    def talk(self) -> list[str]:
        """Texts of talk to learn from."""
        return list(labelled_texts(open_dialogues(self._data, "train")).texts)

    def dialogues(self, seed: int) -> list[TextDialogue]:
        """Dialogues that no text encoder has learnt from: those of MELD, or made of comments where terms are open."""
        if self.terms.open:
            rng = np.random.default_rng((seed, 21))
            return made_dialogues([t for part, t in self.comments if part == "dev"], rng)
        return [d for d in open_dialogues(self._data, "val") if d.corpus == "meld"]


def made_dialogues(turns: Sequence[Turn], rng: np.random.Generator) -> list[TextDialogue]:
    """Comments as dialogues of two: half of all turns neutral, moods that last for a while."""
    byemotion = {label: [t for t in turns if t.emotion4 == label] for label in LABELS}
    dialogues = []
    for number in range(250):
        moods = ["neutral", "neutral"]
        said = []
        for _ in range(8):
            who = int(rng.integers(2))
            if rng.random() > 0.4:
                moods[who] = "neutral" if rng.random() < 0.5 else LABELS[int(rng.integers(3))]
            choice = byemotion[moods[who]]
            said.append(replace(choice[int(rng.integers(len(choice)))], speaker="AB"[who]))
        dialogues.append(TextDialogue("comments", str(number), "dev", tuple(said)))
    return dialogues


def read_people(path: Path) -> dict[str, tuple[str, str]]:
    """Age group and ethnicity of each speaker in a table; nothing where there is none."""
    if not path.is_file():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        return {
            row["speaker"]: (
                _age_group(int(row["age"])),
                "Hispanic" if row["ethnicity"] == "Hispanic" else row["race"],
            )
            for row in csv.DictReader(file)
        }


def _age_group(age: int) -> str:
    return "under 30" if age < 30 else "30 to 49" if age < 50 else "50 and over"


def stated_origin(manifest: Path) -> set[str]:
    """Names of the recordings of which the licence of the audio itself is stated.

    Raises:
        UserError: There is no manifest.
    """
    try:
        with manifest.open(newline="", encoding="utf-8") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
    except OSError as error:
        raise UserError(f"{manifest}: cannot be read ({error.strerror})") from error
    return {Path(row["path"]).stem for row in rows if "not stated" not in row["licence"]}


def _named(text: str) -> str:
    for mark, name in _NAMES.items():
        text = text.replace(mark, name)
    return text

"""Dialogues with voices: written ones whose utterances are given clips of acted speech, and calls made of clips alone.

No open corpus has talk, transcripts and voices of our classes, so the pairing is composed: one actor for each speaker
of a dialogue, and for each utterance a clip in which that actor expresses its emotion. Some utterances get a clip of
another emotion on purpose, some dialogues have no voice or no text, and in calls made of clips the text says nothing.
So the fusion learns to weigh both, and to do with one.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from tools.data.conversations import TextDialogue, Turn
from tools.data.manifest import Clip
from tools.training.recipes.open_dialogues import LABELS
from tools.training.tasks.dialogues import LabelledDialogue

_VOICED = {
    "fear": "fearful", "surprise": "surprised", "peaceful": "calm", "powerful": "happy",
}  # fmt: skip
"""Emotions of written dialogues -> of clips, where the names differ."""


@dataclass(frozen=True)
class Composition:
    """How dialogues are composed: shares are of dialogues, but for that of mismatches."""

    mismatched: float = 0.12
    """Share of utterances with a clip of another emotion; their target is half this, half that."""
    silent: float = 0.3
    """No utterance has audio."""
    wordless: float = 0.15
    """No utterance has text."""
    wordless_calls: float = 0.6
    """The same of the calls made of clips."""
    versions: int = 6
    """Clips drawn for each utterance, of which training takes another one each time."""
    persistence: float = 0.4
    """In calls made of clips: how often a speaker's emotion stays; else it is drawn again."""


PLAIN = Composition(mismatched=0.0, silent=0.0, wordless=0.0, wordless_calls=1.0, versions=1)
"""For evaluation: each utterance has its text and a clip of its own emotion."""


class ClipBank:
    """The embedded clips of one part, by actor and emotion.

    Args:
        clips: n clips; those without an emotion are never drawn.
        embeddings: [versions, n, D], the first version as recorded.
    """

    def __init__(self, clips: Sequence[Clip], embeddings: Tensor) -> None:
        self.embeddings = embeddings
        self.corpus: dict[str, str] = {}
        self._places: dict[str, dict[str, list[int]]] = defaultdict(lambda: defaultdict(list))
        for place, clip in enumerate(clips):
            emotion = clip.emotion4 or clip.emotion
            if clip.is_speech and emotion:
                self.corpus[clip.speaker] = clip.corpus
                self._places[clip.speaker][emotion].append(place)
        if not self.corpus:
            raise ValueError("no clip has an emotion")

    def emotions(self, actor: str) -> list[str]:
        """Return what an actor expresses in any clip."""
        return list(self._places[actor])

    def actor(
        self, needed: set[str], taken: set[str], rng: np.random.Generator, corpus: str = ""
    ) -> str | None:
        """Return an actor who has clips of the emotions needed, corpora being equally likely; None if there is none."""
        able: dict[str, list[str]] = defaultdict(list)
        for name, home in self.corpus.items():
            if name not in taken and needed <= self._places[name].keys() and corpus in ("", home):
                able[home].append(name)
        if not able:
            return None
        members = able[sorted(able)[int(rng.integers(len(able)))]]
        return members[int(rng.integers(len(members)))]

    def draw(
        self, actor: str, emotion: str, versions: int, rng: np.random.Generator
    ) -> Tensor | None:
        """Return embeddings [versions, D] of clips of an actor and emotion, the first as recorded; None without any."""
        places = self._places[actor].get(emotion)
        if not places:
            return None
        chosen = torch.from_numpy(rng.choice(places, versions))
        kinds = torch.from_numpy(rng.integers(len(self.embeddings), size=versions))
        kinds[0] = 0
        return self.embeddings[kinds, chosen]


def voiced(
    dialogue: TextDialogue,
    text: Tensor,
    bank: ClipBank | None,
    how: Composition,
    rng: np.random.Generator,
) -> LabelledDialogue:
    """Return a written dialogue with voices.

    Args:
        dialogue: N turns.
        text: Their embeddings [versions, N, D].
        bank: Where the voices come from; None: no utterance has audio.
        how: The shares of what is composed how.
        rng: Decides all else.
    """
    turns = dialogue.turns
    cast = _cast(turns, bank, rng) if bank is not None else {}
    silent = rng.random() < how.silent
    wordless = not silent and rng.random() < how.wordless
    audio = torch.zeros(how.versions, len(turns), text.shape[-1])
    has_audio = torch.zeros(len(turns), dtype=torch.bool)
    targets = torch.zeros(len(turns), len(LABELS))
    for n, turn in enumerate(turns):
        labels = [turn.emotion4] if turn.emotion4 else []
        actor = cast.get(turn.speaker)
        if bank is not None and actor is not None and not silent:
            emotion = turn.emotion4 or _VOICED.get(turn.emotion, turn.emotion)
            if labels and not wordless and rng.random() < how.mismatched:
                others = sorted(set(bank.emotions(actor)) & set(LABELS) - {emotion})
                if others:
                    emotion = others[int(rng.integers(len(others)))]
                    labels.append(emotion)
            drawn = bank.draw(actor, emotion, how.versions, rng)
            if drawn is not None:
                audio[:, n], has_audio[n] = drawn, True
        for label in labels:
            targets[n, LABELS.index(label)] += 1 / len(labels)
    names = {name: i for i, name in enumerate(dict.fromkeys(t.speaker for t in turns))}
    has_text = torch.tensor([bool(turn.text) and not wordless for turn in turns])
    targets[~(has_audio | has_text)] = 0
    return LabelledDialogue(
        audio=audio,
        text=text,
        has_audio=has_audio,
        has_text=has_text,
        speaker=torch.tensor([names[turn.speaker] for turn in turns]),
        targets=targets,
    )


def clip_call(
    bank: ClipBank, texts: Tensor, how: Composition, rng: np.random.Generator
) -> LabelledDialogue:
    """Return a call of two actors of one corpus, of clips alone.

    Args:
        bank: Where the clips come from.
        texts: Embeddings [n, D] of texts that express nothing.
        how: The shares of what is composed how.
        rng: Decides all else.
    """
    length = int(rng.integers(4, 17))
    first = bank.actor(set(), set(), rng) or ""
    second = bank.actor(set(), {first}, rng, bank.corpus[first]) or first
    audio = torch.zeros(how.versions, length, texts.shape[-1])
    targets = torch.zeros(length, len(LABELS))
    speaker = torch.from_numpy(rng.integers(2, size=length))
    moods: dict[str, str] = {}
    for n in range(length):
        actor = (first, second)[int(speaker[n])]
        choice = bank.emotions(actor)
        mood = moods.get(actor)
        if mood is None or rng.random() >= how.persistence:
            mood = choice[int(rng.integers(len(choice)))]
        moods[actor] = mood
        drawn = bank.draw(actor, mood, how.versions, rng)
        assert drawn is not None  # noqa: S101 - the mood is one of the actor's
        audio[:, n] = drawn
        if mood in LABELS:
            targets[n, LABELS.index(mood)] = 1
    chosen = torch.from_numpy(rng.integers(len(texts), size=length))
    return LabelledDialogue(
        audio=audio,
        text=texts[chosen][None],
        has_audio=torch.ones(length, dtype=torch.bool),
        has_text=torch.full((length,), bool(rng.random() >= how.wordless_calls)),
        speaker=speaker,
        targets=targets,
    )


def _cast(turns: Sequence[Turn], bank: ClipBank, rng: np.random.Generator) -> dict[str, str]:
    """Return an actor for each speaker, able to express what the speaker does; none for whom none is left."""
    needed: dict[str, set[str]] = {}
    for turn in turns:
        needed.setdefault(turn.speaker, set()).update({turn.emotion4} - {""})
    cast: dict[str, str] = {}
    for speaker, emotions in needed.items():
        actor = bank.actor(emotions, set(cast.values()), rng) or bank.actor(emotions, set(), rng)
        if actor is not None:
            cast[speaker] = actor
    return cast

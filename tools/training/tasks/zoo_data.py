"""What the systems of the zoo learn from: frames of acted speech, tokens of written talk, and both put together."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from streamer_models.contract import SAMPLE_RATE, UtteranceEmbedding
from tools.data.cache import DecodedClips, open_clips
from tools.data.conversations import TextDialogue, in_split, read_dialogues, utterances_hash
from tools.data.manifest import Clip
from tools.progress import progress
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.tasks.audio_data import LABELS
from tools.training.tasks.rated_texts import rated_texts, rated_texts_hash
from tools.training.tasks.zoo_dialogues import UNKNOWN, Dialogue
from tools.training.tasks.zoo_encoders import AudioFrames, FrozenText, frames_of, weights_hash

SECONDS = 6
"""Of a clip so many are kept."""

MOST_OF_A_CLASS = 200
"""Clips of each class and corpus that are encoded."""


@dataclass(frozen=True)
class Amount:
    """How much is learnt from.

    Attributes:
        clips: Labelled clips of each corpus and part at most.
        texts: Labelled utterances of each part of MELD at most; in training, each class alike.
        seed: Of all that is random in the training; the choice of clips and texts is always the same.
    """

    clips: int = 600
    texts: int = 4000
    seed: int = 0


@dataclass(frozen=True)
class Part:
    """Examples of one kind.

    Attributes:
        features: Frames [T, bands] or tokens [N, width] of each, float16.
        labels: int64, index into `LABELS`.
        groups: The speaker or dialogue of each.
        corpora: The corpus of each.
        languages: ISO 639-1 code of each, or empty.
        ratings: Valence and arousal [n, 2], where they were rated.
    """

    features: list[Tensor]
    labels: Tensor
    groups: list[str]
    corpora: list[str]
    languages: list[str]
    ratings: Tensor | None = None

    def audio(self, place: int) -> UtteranceEmbedding:
        """Make an utterance that was heard."""
        return UtteranceEmbedding(0, audio=self.features[place].float())

    def text(self, place: int, voice: Tensor | None = None) -> UtteranceEmbedding:
        """Make an utterance that was read, spoken by a voice where one is given."""
        heard = None if voice is None else voice.float()
        return UtteranceEmbedding(0, audio=heard, text=self.features[place].float())

    def places_by_label(self) -> dict[int, list[int]]:
        """Return the places of each class."""
        places: dict[int, list[int]] = defaultdict(list)
        for place, label in enumerate(self.labels.tolist()):
            places[label].append(place)
        return dict(places)


def halves(part: Part) -> tuple[Part, Part]:
    """Every other group of a part, and the rest."""
    first = set(sorted(set(part.groups))[::2])
    sides = []
    for inside in (True, False):
        keep = [i for i, group in enumerate(part.groups) if (group in first) == inside]
        sides.append(
            Part(
                [part.features[i] for i in keep],
                part.labels[keep],
                [part.groups[i] for i in keep],
                [part.corpora[i] for i in keep],
                [part.languages[i] for i in keep],
            )
        )
    return sides[0], sides[1]


@dataclass(frozen=True)
class Condition:
    """How clips are heard.

    Attributes:
        name: Of the condition.
        change: Samples, and the number of their clip -> samples as they are heard.
    """

    name: str
    change: Callable[[NDArray[np.float32], int], NDArray[np.float32]]


AS_RECORDED = Condition("", lambda wave, _: wave)


def speech_part(
    data: Path,
    cache: Path,
    split: str,
    amount: Amount,
    encoder: AudioFrames,
    *,
    corpora: Sequence[str] | None = None,
    heard: Condition = AS_RECORDED,
) -> Part:
    """Labelled clips of one part of the speech data as frames, so many of each corpus; kept in the cache by corpus."""
    speech = open_clips(data / "speech", cache)
    features: list[Tensor] = []
    clips: list[Clip] = []
    for corpus, places in labelled_places(speech.clips, split).items():
        if corpora is not None and corpus not in corpora:
            continue
        rows = clip_frames(speech, cache, places, encoder, heard)
        at = dict(zip(places, rows, strict=True))
        kept = first_of_each_class(speech.clips, places, amount.clips // len(LABELS))
        features += [at[place] for place in kept]
        clips += [speech.clips[place] for place in kept]
    return Part(
        features,
        torch.tensor([LABELS.index(clip.emotion4) for clip in clips]),
        [clip.speaker for clip in clips],
        [clip.corpus for clip in clips],
        [clip.language for clip in clips],
    )


def labelled_places(clips: Sequence[Clip], split: str) -> dict[str, list[int]]:
    """Corpus -> places of its labelled clips of a part, in an order drawn once; so many of a class at most."""
    order = np.random.default_rng(17).permutation(len(clips)).tolist()
    by_corpus = defaultdict(list)
    for place in order:
        clip = clips[place]
        if clip.is_speech and clip.split == split and clip.emotion4 in LABELS:
            by_corpus[clip.corpus].append(place)
    return {
        corpus: first_of_each_class(clips, by_corpus[corpus], MOST_OF_A_CLASS)
        for corpus in sorted(by_corpus)
    }


def first_of_each_class(clips: Sequence[Clip], places: Sequence[int], most: int) -> list[int]:
    """Return the first so many places of each class."""
    met = Counter[str]()
    kept = []
    for place in places:
        met[clips[place].emotion4] += 1
        if met[clips[place].emotion4] <= most:
            kept.append(place)
    return kept


def clip_frames(
    speech: DecodedClips,
    cache: Path,
    places: Sequence[int],
    encoder: AudioFrames,
    heard: Condition = AS_RECORDED,
) -> list[Tensor]:
    """Frames of the first seconds of clips, float16, not standardised; from the cache or put there."""
    key = {
        "speech": speech.sha256,
        "places": list(places),
        "encoder": encoder.config.model_dump(),
        "weights": weights_hash(encoder),
        "seconds": SECONDS,
    } | ({"heard": heard.name} if heard.name else {})

    def make() -> list[Tensor]:
        most = SECONDS * SAMPLE_RATE
        return [
            frames_of(encoder, torch.from_numpy(heard.change(speech.wave(place)[:most], place)))
            for place in progress(places, "Frames")
        ]

    return kept_features(cache, "frames", key, make)


def text_part(data: Path, cache: Path, split: str, amount: Amount, text: FrozenText) -> Part:
    """Labelled utterances of one part of MELD, as tokens; kept in the cache."""
    dialogues = meld_dialogues(data, split)
    tokens = dialogue_tokens(data, cache, split, text)
    order = np.random.default_rng(18).permutation(sum(len(d.turns) for d in dialogues)).tolist()
    turns = [(dialogue.name, turn) for dialogue in dialogues for turn in dialogue.turns]
    order = [at for at in order if turns[at][1].emotion4 in LABELS and turns[at][1].text]
    if split == "train":  # each class alike, as far as there are texts
        most = amount.texts // len(LABELS)
        order = [
            place
            for label in LABELS
            for place in [at for at in order if turns[at][1].emotion4 == label][:most]
        ]
    order = sorted(order[: amount.texts])
    return Part(
        [tokens[place] for place in order],
        torch.tensor([LABELS.index(turns[place][1].emotion4) for place in order]),
        [turns[place][0] for place in order],
        ["meld"] * len(order),
        ["en"] * len(order),
    )


def rated_part(data: Path, cache: Path, split: str, amount: Amount, text: FrozenText) -> Part:
    """Rated sentences of one part of EmoBank as tokens, of no class; kept in the cache."""
    said, ratings = rated_texts(data, split, amount.texts)
    key = {"emobank": rated_texts_hash(data), "split": split, "most": amount.texts} | text.identity
    tokens = kept_features(cache, "tokens", key, lambda: text.embed(said))
    count = len(said)
    names = [f"{split}{number}" for number in range(count)]
    unknown = torch.full((count,), UNKNOWN)
    return Part(tokens, unknown, names, ["emobank"] * count, ["en"] * count, ratings)


def meld_dialogues(data: Path, split: str) -> list[TextDialogue]:
    """MELD's dialogues of one part."""
    return in_split(read_dialogues(data / "conversations" / "meld"), split)


def dialogue_part(data: Path, cache: Path, split: str, text: FrozenText) -> list[Dialogue]:
    """MELD's dialogues of one part, embedded."""
    tokens = iter(dialogue_tokens(data, cache, split, text))
    found = []
    for dialogue in meld_dialogues(data, split):
        people = sorted({turn.speaker for turn in dialogue.turns})
        said = [
            UtteranceEmbedding(people.index(turn.speaker), text=next(tokens).float())
            for turn in dialogue.turns
        ]
        labels = [
            LABELS.index(turn.emotion4) if turn.emotion4 in LABELS else UNKNOWN
            for turn in dialogue.turns
        ]
        found.append(Dialogue(dialogue.name, said, labels))
    return found


def dialogue_tokens(data: Path, cache: Path, split: str, text: FrozenText) -> list[Tensor]:
    """Tokens of every turn of `meld_dialogues`, float16, in order; from the cache or put there."""
    key = {
        "meld": utterances_hash(data / "conversations" / "meld"),
        "split": split,
    } | text.identity
    said = [turn.text for dialogue in meld_dialogues(data, split) for turn in dialogue.turns]
    return kept_features(cache, "tokens", key, lambda: text.embed(said))


def kept_features(
    cache: Path, kind: str, key: Mapping[str, object], make: Callable[[], list[Tensor]]
) -> list[Tensor]:
    """Features from the cache, or made and put there."""
    name = hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()[:16]
    path = cache / f"zoo-{kind}-{name}.safetensors"
    if path.is_file():
        tensors, _ = load_checkpoint(path)
        return list(torch.split(tensors["values"], tensors["lengths"].tolist()))
    rows = make()
    lengths = torch.tensor([len(row) for row in rows])
    save_checkpoint(path, {"values": torch.cat(rows), "lengths": lengths}, {"kind": kind})
    return rows

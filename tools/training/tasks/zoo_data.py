"""What the systems of the zoo learn from: frames of acted speech, tokens of written talk, and both put together."""

import hashlib
import json
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from streamer_models.contract import UtteranceEmbedding
from streamer_models.encoders.bert_tokens import BertTokens, BertTokensConfig
from streamer_models.encoders.mel_frames import MelFrames, MelFramesConfig
from streamer_models.tokenizer import TextEmbedder, TextTokenizer
from tools.data.cache import DecodedClips, open_clips
from tools.data.conversations import in_split, read_dialogues, utterances_hash
from tools.data.manifest import Clip
from tools.progress import progress
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.tasks.audio_data import LABELS

MAX_FRAMES = 166
"""Frames of a clip that are kept: five seconds."""

AFFECT = {
    "angry": (-0.6, 0.7),
    "happy": (0.7, 0.5),
    "sad": (-0.6, -0.5),
    "neutral": (0.0, 0.0),
}
"""Valence and arousal that stand for a category where nobody rated them."""


@dataclass(frozen=True)
class Amount:
    """How much is learnt from.

    Attributes:
        clips: Labelled clips of each corpus and part at most.
        texts: Labelled utterances of each part of MELD at most; in training, each class alike.
        seed: Of the choice.
    """

    clips: int = 300
    texts: int = 3000
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
    """

    features: list[Tensor]
    labels: Tensor
    groups: list[str]
    corpora: list[str]
    languages: list[str]

    def audio(self, place: int) -> UtteranceEmbedding:
        """An utterance that was heard."""
        return UtteranceEmbedding(0, audio=self.features[place].float())

    def text(self, place: int, voice: Tensor | None = None) -> UtteranceEmbedding:
        """An utterance that was read, spoken by a voice where one is given."""
        heard = None if voice is None else voice.float()
        return UtteranceEmbedding(0, audio=heard, text=self.features[place].float())

    def places_by_label(self) -> dict[int, list[int]]:
        """The places of each class."""
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


def speech_part(data: Path, cache: Path, split: str, amount: Amount, encoder: MelFrames) -> Part:
    """Labelled clips of one part of the speech data, so many of each corpus, as frames; kept in the cache."""
    speech = open_clips(data / "speech", cache)
    places = chosen(speech.clips, split, amount)
    key = {
        "speech": speech.sha256,
        "places": places,
        "encoder": encoder.config.model_dump(),
        "frames": MAX_FRAMES,
    }
    features = _kept(cache, "frames", key, lambda: _frames(speech, places, encoder))
    clips = [speech.clips[place] for place in places]
    return Part(
        features,
        torch.tensor([LABELS.index(clip.emotion4) for clip in clips]),
        [clip.speaker for clip in clips],
        [clip.corpus for clip in clips],
        [clip.language for clip in clips],
    )


def chosen(clips: Sequence[Clip], split: str, amount: Amount) -> list[int]:
    """Places of labelled clips of a part: of each corpus and class alike, up to `amount.clips` of a corpus."""
    rng = np.random.default_rng((amount.seed, 17))
    cells = defaultdict(list)
    for place, clip in enumerate(clips):
        if clip.is_speech and clip.split == split and clip.emotion4 in LABELS:
            cells[clip.corpus, clip.emotion4].append(place)
    most = amount.clips // len(LABELS)
    places: list[int] = []
    for cell in sorted(cells):
        order = rng.permutation(cells[cell])[:most]
        places.extend(int(place) for place in order)
    return sorted(places)


def text_part(
    data: Path, cache: Path, split: str, amount: Amount, read: TextEmbedder, name: str
) -> Part:
    """Labelled utterances of one part of MELD, as tokens; kept in the cache."""
    rng = np.random.default_rng((amount.seed, 18))
    turns = [
        (dialogue.name, turn)
        for dialogue in in_split(read_dialogues(data / "conversations" / "meld"), split)
        for turn in dialogue.turns
        if turn.emotion4 in LABELS and turn.text
    ]
    order = rng.permutation(len(turns)).tolist()
    if split == "train":  # each class alike, as far as there are texts
        most = amount.texts // len(LABELS)
        order = [
            place
            for label in LABELS
            for place in [at for at in order if turns[at][1].emotion4 == label][:most]
        ]
    order = sorted(order[: amount.texts])
    turns = [turns[place] for place in order]
    key = {
        "meld": utterances_hash(data / "conversations" / "meld"),
        "places": order,
        "split": split,
        "encoder": name,
    }

    def embed() -> list[Tensor]:
        texts = [turn.text for _, turn in turns]
        return [read([text])[0].half() for text in progress(texts, "Reading")]

    features = _kept(cache, "tokens", key, embed)
    return Part(
        features,
        torch.tensor([LABELS.index(turn.emotion4) for _, turn in turns]),
        [dialogue for dialogue, _ in turns],
        ["meld"] * len(turns),
        ["en"] * len(turns),
    )


def mel_frames(bands: int, *, cepstra: bool) -> MelFrames:
    """The frames that a system of the zoo hears."""
    return MelFrames(MelFramesConfig(embedding=bands, cepstra=cepstra)).eval()


def minilm_tokens() -> tuple[BertTokens, TextTokenizer]:
    """MiniLM-L6 as an encoder of tokens, frozen, and its tokenizer."""
    from safetensors.torch import load_file

    from tools.training.tasks.minilm import encoder_config, load_bert, package_directory

    directory = package_directory()
    sizes = encoder_config(directory).model_dump(
        exclude={"encoder", "embedding", "hidden", "gru_layers", "head_dropout"}
    )
    encoder = BertTokens(BertTokensConfig(**{**sizes, "max_tokens": 48}))
    load_bert(encoder.bert, load_file(directory / "model.safetensors"))
    definition = (directory / "tokenizer.json").read_text(encoding="utf-8")
    return encoder.eval().requires_grad_(requires_grad=False), TextTokenizer(definition, 48)


@torch.inference_mode()
def _frames(speech: DecodedClips, places: Sequence[int], encoder: MelFrames) -> list[Tensor]:
    most = MAX_FRAMES * encoder.config.hop * encoder.config.joined
    return [
        encoder(torch.from_numpy(speech.wave(place)[:most])[None])[0].half()
        for place in progress(places, "Frames")
    ]


def _kept(
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

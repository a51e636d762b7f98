"""What a system of the zoo learns from, example by example: clips, texts, texts with voices, sounds without words."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from streamer_models.contract import UtteranceEmbedding
from streamer_models.sequences import Utterances
from streamer_models.zoo.base import Targets, UtteranceSystem
from tools.training.tasks.audio_data import LABELS
from tools.training.tasks.dimension_fit import PLANE
from tools.training.tasks.zoo_data import Part
from tools.training.tasks.zoo_dialogues import UNKNOWN, Dialogue
from tools.training.tasks.zoo_encoders import AudioFrames, FrozenText
from tools.training.tasks.zoo_speakers import Voices

NOWHERE = (float("nan"), float("nan"))
"""Valence and arousal that nobody knows."""


@dataclass(frozen=True)
class Material:
    """What a system is trained and evaluated with.

    Attributes:
        speech: Clips by part: train, dev.
        texts: Utterances of MELD by part: train, choice, report; empty for systems without text.
        encoder: Makes the frames.
        text: Makes the tokens.
        sounds: Clips without words by part, labelled by kind of sound; empty for systems that know none.
        voices: To learn speakers from first; None for systems that do not.
        dialogues: MELD's by part: train, report; empty for systems that see no context.
        rated: Rated sentences by part: train, dev; empty for systems that estimate no dimensions.
    """

    speech: dict[str, Part]
    texts: dict[str, Part]
    encoder: AudioFrames
    text: FrozenText | None
    sounds: dict[str, Part] = field(default_factory=dict)
    voices: Voices | None = None
    dialogues: dict[str, list[Dialogue]] = field(default_factory=dict)
    rated: dict[str, Part] = field(default_factory=dict)


@dataclass(frozen=True)
class _Example:
    said: UtteranceEmbedding
    label: int
    sound: int
    voice: int | None
    """Place of the voice among the clips."""
    rating: tuple[float, float] = NOWHERE


class Learning:
    """Examples by number: clips, then texts, of which every other draw has a voice, then rated texts, then sounds.

    Args:
        model: That learns.
        material: Of which the parts `train` are drawn from.
    """

    def __init__(self, model: UtteranceSystem, material: Material) -> None:
        self.model = model
        self._speech, self._texts = material.speech["train"], material.texts.get("train")
        self._rated, self._sounds = material.rated.get("train"), material.sounds.get("train")
        self._voices = self._speech.places_by_label()
        self._speakers = {name: i for i, name in enumerate(sorted(set(self._speech.groups)))}
        self._corpora = {name: i for i, name in enumerate(sorted(set(self._speech.corpora)))}

    def __len__(self) -> int:
        return sum(
            len(part.labels)
            for part in (self._speech, self._texts, self._rated, self._sounds)
            if part is not None
        )

    def loss(self, examples: list[int]) -> Tensor:
        """Return the system's own loss of a batch."""
        drawn = [self._draw(example) for example in examples]
        batch = Utterances.of(
            [(each.said,) for each in drawn], self.model.config.sizes, self.model.device
        )
        targets = Targets(
            labels=torch.tensor([each.label for each in drawn]),
            speakers=torch.tensor([self._home(self._speakers, each) for each in drawn]),
            corpora=torch.tensor([self._home(self._corpora, each) for each in drawn]),
            dimensions=torch.tensor(
                [e.rating if e.label < 0 else PLANE[LABELS[e.label]] for e in drawn]
            ),
            sounds=torch.tensor([each.sound for each in drawn]),
        )
        return self.model.loss(batch, targets)

    def _draw(self, example: int) -> _Example:
        if example < len(self._speech.labels):
            label = int(self._speech.labels[example])
            return _Example(self._speech.audio(example), label, 0, example)
        place = example - len(self._speech.labels)
        if self._texts is not None and place < len(self._texts.labels):
            return self._read(self._texts, place)
        place -= 0 if self._texts is None else len(self._texts.labels)
        if self._rated is not None and place < len(self._rated.labels):
            assert self._rated.ratings is not None  # noqa: S101 - that is what the part is for
            valence, arousal = self._rated.ratings[place].tolist()
            return _Example(self._rated.text(place), UNKNOWN, UNKNOWN, None, (valence, arousal))
        place -= 0 if self._rated is None else len(self._rated.labels)
        assert self._sounds is not None  # noqa: S101 - otherwise there is no such number
        kind = int(self._sounds.labels[place])
        return _Example(self._sounds.audio(place), UNKNOWN, kind, None)

    def _read(self, texts: Part, place: int) -> _Example:
        label = int(texts.labels[place])
        voices = self._voices[label]
        voice = voices[int(torch.randint(len(voices), ()))] if torch.rand(()) < 0.5 else None
        heard = None if voice is None else self._speech.features[voice]
        return _Example(texts.text(place, heard), label, UNKNOWN if voice is None else 0, voice)

    def _home(self, numbers: dict[str, int], example: _Example) -> int:
        """Return the number of an example's speaker or corpus."""
        if example.voice is None:
            return UNKNOWN
        names: Any = self._speech.groups if numbers is self._speakers else self._speech.corpora
        return numbers[names[example.voice]]

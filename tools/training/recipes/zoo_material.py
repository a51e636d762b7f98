"""What a system of the zoo is made of and learns from: its frozen encoders, its data as they make them, its weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from streamer.errors import UserError
from streamer_models.encoders.mel_frames import MelFrames
from streamer_models.encoders.speaker_frames import SpeakerFrames
from streamer_models.registry import SYSTEMS
from streamer_models.zoo.base import UtteranceSystem
from tools.evaluate.output import load_bundle
from tools.training.recipes.zoo_learning import Material
from tools.training.tasks.audio_data import LABELS
from tools.training.tasks.rated_texts import has_rated_texts
from tools.training.tasks.zoo_data import (
    Amount,
    dialogue_part,
    halves,
    rated_part,
    speech_part,
    text_part,
)
from tools.training.tasks.zoo_encoders import (
    AudioFrames,
    FrozenText,
    frozen_text,
    mel_frames,
    speaker_frames,
    standardise,
    whisper_frames,
)
from tools.training.tasks.zoo_sounds import SOUNDS, sound_part
from tools.training.tasks.zoo_speakers import voices

BANDS = ("padi2022",)
"""Systems that learn speakers first, by convolutions over log-mel bands, or take a speaker encoder for it."""

SEGMENTS = {"hsu2021": 5, "gao2021": 3}
"""Frames of 100 ms in a segment, of systems that cut an utterance into segments."""

Features = Literal["whisper", "mel", "speaker"]


@dataclass(frozen=True)
class Encoders:
    """What makes frames and tokens; `audio` None: log-mel frames of the size that the system asks for."""

    audio: AudioFrames | None
    text: FrozenText | None


def encoders_of(name: str, backbones: str, features: Features) -> Encoders:
    """Return the encoders of a bundle, for a system of a name."""
    bundle = load_bundle(backbones)
    audio: AudioFrames | None = None
    if features == "speaker":
        audio = speaker_frames()
    elif features == "whisper" and name not in BANDS:
        audio = whisper_frames(bundle)
    return Encoders(audio, frozen_text(bundle))


def material_of(name: str, data: Path, cache: Path, amount: Amount, encoders: Encoders) -> Material:
    """Return all that a system of a name learns from and is evaluated with."""
    config = SYSTEMS.find(name).config_class()
    encoder = encoders.audio or mel_frames(config.audio.embedding, cepstra=config.audio.cepstra)
    speech = {s: speech_part(data, cache, s, amount, encoder) for s in ("train", "dev")}
    sounds = {}
    if "sounds" in type(config).model_fields:
        sounds = {s: sound_part(data, cache, s, encoder) for s in ("train", "dev")}
        sounds = sounds if all(part.features for part in sounds.values()) else {}
    parts = [*speech.values(), *sounds.values()]
    standardise(encoder, *(part.features for part in parts))
    heard = None
    if name in BANDS and encoders.audio is None:
        heard = voices(data, cache, speech["train"], encoder)
    if config.text is None or encoders.text is None:
        return Material(speech, {}, encoder, None, sounds, heard)
    learnt, rest = (text_part(data, cache, s, amount, encoders.text) for s in ("train", "val"))
    chosen_by, reported = halves(rest)
    texts = {"train": learnt, "choice": chosen_by, "report": reported}
    dialogues = {}
    if name not in BANDS:
        held = set(reported.groups)
        dialogues["train"] = dialogue_part(data, cache, "train", encoders.text)
        rest_of = dialogue_part(data, cache, "val", encoders.text)
        dialogues["report"] = [dialogue for dialogue in rest_of if dialogue.name in held]
    rated = {}
    if config.dimensions and has_rated_texts(data):
        rated = {s: rated_part(data, cache, s, amount, encoders.text) for s in ("train", "dev")}
    return Material(speech, texts, encoder, encoders.text, sounds, heard, dialogues, rated)


def new_system(name: str, material: Material, **changes: Any) -> UtteranceSystem:
    """Return the system with new weights, without its frozen encoders, which only the bundle needs."""
    system = SYSTEMS.find(name)
    changes |= {"labels": LABELS, "audio": material.encoder.config}
    if material.text is not None:
        changes["text"] = material.text.tokens.config
    if not isinstance(material.encoder, MelFrames) and name in SEGMENTS:
        changes["segment"] = SEGMENTS[name]
    if isinstance(material.encoder, SpeakerFrames) and name in BANDS:
        changes["channels"] = ()
    fields = system.config_class.model_fields
    if "sounds" in fields:
        changes["sounds"] = SOUNDS
    people = len(set(material.speech["train"].groups))
    if name in BANDS:
        people = 0 if material.voices is None else material.voices.count
    domains = {"speakers": people, "corpora": len(set(material.speech["train"].corpora))}
    changes |= {field: count for field, count in domains.items() if field in fields}
    model = system(system.config_class(**changes))
    if not isinstance(model, UtteranceSystem):
        raise UserError(f"{name}: not a system that this recipe can train")
    model.audio = model.text = None
    return model

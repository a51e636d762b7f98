"""The stages of the shipped bundle's training, each kept in a folder of its own, each frozen before the next."""

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.context import ContextConfig
from models.conversation import ConversationConfig, ConversationModel
from models.fusion import FusionConfig
from streamer.errors import UserError
from tools.data.cache import open_clips
from tools.data.conversations import TextDialogue
from tools.data.manifest import manifest_hash
from tools.train import audio as audio_stage
from tools.train import text as text_stage
from tools.train.assembly import assemble
from tools.train.audio_data import open_versions, training_clips
from tools.train.checkpoint import load_checkpoint, save_checkpoint
from tools.train.clip_embeddings import embed_clips
from tools.train.composition import ClipBank, Composition, clip_call, voiced
from tools.train.dialogues import LabelledDialogue, StageSettings, train_contexts, train_fusion
from tools.train.open_dialogues import (
    LABELS,
    OTHER,
    labelled_texts,
    open_dialogues,
    open_hashes,
)
from tools.train.provenance import write_provenance
from tools.train.text_noise import RecogniserNoise

_ENCODERS = ("audio/" + audio_stage.CHECKPOINT, "text/" + text_stage.CHECKPOINT)
_CONTEXT = "context/context.safetensors"
_FUSION = "fusion/fusion.safetensors"
_CONTEXTS = ("audio_context", "text_context")
_TEXTS = ("written", "noisy_texts", "noise")
_COMPOSED = (*_TEXTS, "window", "clip_versions", "composition", "casts", "calls")
"""Names of the settings on which the composed dialogues depend."""


@dataclass(frozen=True)
class BundleSettings:
    """All that could be chosen otherwise; the defaults make the shipped bundle.

    Attributes:
        written: Dialogues of DailyDialog that are composed, those in which most is expressed; of the others: all.
        noisy_texts: Versions of each text with recogniser-like noise, beside the true one.
        noise: Their greatest word error rate.
        clip_versions: Augmented versions of each clip, beside it as recorded and a short stretch of it.
        casts: How often each dialogue is composed, with other actors.
        calls: Calls made of clips alone.
    """

    audio: audio_stage.AudioSettings = field(default_factory=audio_stage.AudioSettings)
    text: text_stage.TextSettings = field(default_factory=text_stage.TextSettings)
    composition: Composition = field(default_factory=Composition)
    context: StageSettings = field(
        default_factory=lambda: StageSettings(
            epochs=4, batch=8, label_smoothing=0.05, feature_dropout=0.35
        )
    )
    fusion: StageSettings = field(
        default_factory=lambda: StageSettings(
            epochs=3, batch=8, label_smoothing=0.0, feature_dropout=0.35, class_weights=0.7
        )
    )
    window: int = 8
    written: int = 300
    noisy_texts: int = 1
    noise: float = 0.5
    clip_versions: int = 3
    casts: int = 1
    calls: int = 1000
    name: str = "streamer-en-1"
    version: str = "1"


@dataclass
class Stages:
    """One training: where things are, and each stage as a method."""

    data: Path
    out: Path
    seed: int
    resume: bool
    settings: BundleSettings
    cache: Path
    start: text_stage.Start | None

    def audio(self) -> None:
        """The audio stage, in `out`/audio."""
        folder = self.out / "audio"
        if self.resume and (folder / audio_stage.CHECKPOINT).is_file():
            _, found = load_checkpoint(folder / audio_stage.CHECKPOINT)
            wanted = (self.seed, manifest_hash(self.data / "speech"))
            if (found.get("seed"), found.get("speech")) != wanted:
                raise UserError(f"{folder}: of another seed or data; train without --resume")
            return
        audio_stage.train_audio(
            self.data,
            folder,
            seed=self.seed,
            resume=self.resume,
            settings=self.settings.audio,
            cache=self.cache,
        )

    def text(self) -> None:
        """The text stage, in `out`/text."""
        learnt = labelled_texts(open_dialogues(self.data, "train"))
        text_stage.train_text(
            learnt,
            (*LABELS, OTHER),
            self.out / "text",
            seed=self.seed,
            resume=self.resume,
            settings=self.settings.text,
            noise=RecogniserNoise(learnt.texts),
            start=self.start,
        )
        self._provenance("text", asdict(self.settings.text), open_hashes(self.data))

    def context(self) -> None:
        """Both context encoders, in `out`/context."""
        place = self.out / _CONTEXT
        identity = self._identity("context", (*_COMPOSED, "context"), _ENCODERS)
        if self._finished(place, identity):
            return
        model = self._model()
        train_contexts(model, self._dialogues(), self.settings.context, seed=self.seed)
        kept = {k: v for k, v in model.state_dict().items() if k.split(".")[0] in _CONTEXTS}
        save_checkpoint(place, kept, identity)
        self._provenance("context", identity["settings"], identity["from"])

    def fusion(self) -> None:
        """The fusion, in `out`/fusion; then the whole bundle, in `out`."""
        place = self.out / _FUSION
        identity = self._identity("fusion", (*_COMPOSED, "fusion"), (*_ENCODERS, _CONTEXT))
        model = self._model()
        contexts, _ = load_checkpoint(self.out / _CONTEXT)
        model.load_state_dict(contexts, strict=False)
        if self._finished(place, identity):
            fusion, _ = load_checkpoint(place)
            model.load_state_dict(fusion, strict=False)
        else:
            train_fusion(model, self._dialogues(), self.settings.fusion, seed=self.seed)
            kept = {k: v for k, v in model.state_dict().items() if k.startswith("fusion.")}
            save_checkpoint(place, kept, identity)
            self._provenance("fusion", identity["settings"], identity["from"])
        _, _, tokenizer = text_stage.load_text_stage(self.out / "text")
        assemble(
            model.eval(),
            tokenizer,
            self.data,
            self.out,
            name=self.settings.name,
            version=self.settings.version,
            seed=self.seed,
            cache=self.cache,
        )
        self._provenance("bundle", asdict(self.settings), self._hashes())

    def _model(self) -> ConversationModel:
        """The whole model with the first two stages in it, the others new."""
        audio_encoder, _ = audio_stage.load_audio_stage(self.out / "audio")
        text_encoder, _, _ = text_stage.load_text_stage(self.out / "text")
        torch.manual_seed(self.seed)
        model = ConversationModel(
            ConversationConfig(
                labels=LABELS,
                audio=audio_encoder.config,
                text=text_encoder.config,
                embedding=text_encoder.config.embedding,
                context=ContextConfig(),
                fusion=FusionConfig(),
                window=self.settings.window,
            )
        )
        model.audio, model.text = audio_encoder, text_encoder
        return model.eval()

    def _dialogues(self) -> list[LabelledDialogue]:
        """The composed dialogues of the training part."""
        settings = self.settings
        rng = np.random.default_rng((self.seed, 5))
        written = _chosen(open_dialogues(self.data, "train"), settings.written, rng)
        speech = open_clips(self.data / "speech", self.cache)
        places = training_clips(speech.clips)
        texts = self._texts(written)
        bank = ClipBank([speech.clips[i] for i in places], self._clips(places))
        composed: list[LabelledDialogue] = []
        for _ in range(settings.casts):
            start = 0
            for dialogue in written:
                end = start + len(dialogue.turns)
                composed.append(
                    voiced(dialogue, texts[:, start:end], bank, settings.composition, rng)
                )
                start = end
        turns = [turn for dialogue in written for turn in dialogue.turns]
        plain = [i for i, turn in enumerate(turns) if turn.emotion4 == "neutral"]
        composed += [
            clip_call(bank, texts[0, plain], settings.composition, rng)
            for _ in range(settings.calls)
        ]
        return composed

    def _clips(self, train: list[int]) -> Tensor:
        """Embeddings of the training clips, [versions, n, D]."""

        def make(rng: np.random.Generator) -> list[Tensor]:
            speech = open_clips(self.data / "speech", self.cache)
            versions = open_versions(
                speech, copies=self.settings.clip_versions, seed=self.seed, cache=self.cache
            )
            encoder, _ = audio_stage.load_audio_stage(self.out / "audio")
            return [
                *(embed_clips(encoder, version, train) for version in versions),
                embed_clips(encoder, versions[0], train, short=rng),
            ]

        return self._kept("clips", ("clip_versions",), _ENCODERS[:1], make)

    def _texts(self, written: list[TextDialogue]) -> Tensor:
        """Embeddings of all turns, [versions, N, D]: as they are, then with noise."""

        def make(rng: np.random.Generator) -> list[Tensor]:
            encoder, _, tokenizer = text_stage.load_text_stage(self.out / "text")
            said = [turn.text for dialogue in written for turn in dialogue.turns]
            noise = RecogniserNoise(said)
            heard = [
                [noise(t, rng.uniform(0, self.settings.noise), rng) for t in said]
                for _ in range(self.settings.noisy_texts)
            ]
            return [
                text_stage.embed_texts(encoder, tokenizer, version) for version in (said, *heard)
            ]

        return self._kept("texts", _TEXTS, _ENCODERS[1:], make)

    def _kept(
        self,
        kind: str,
        keys: tuple[str, ...],
        encoder: tuple[str, ...],
        make: Callable[[np.random.Generator], list[Tensor]],
    ) -> Tensor:
        """Embeddings that were kept, or made now and kept for the other stages."""
        place = self.out / "context" / f"{kind}.safetensors"
        identity = self._identity(kind, keys, encoder)
        if place.is_file():
            tensors, found = load_checkpoint(place)
            if found == identity:
                return tensors[kind]
        with torch.autocast("cpu", torch.bfloat16):  # errors far below those that noise makes
            embeddings = torch.stack(make(np.random.default_rng((self.seed, 6))))
        save_checkpoint(place, {kind: embeddings}, identity)
        return embeddings

    def _identity(
        self, stage: str, keys: tuple[str, ...], files: tuple[str, ...]
    ) -> dict[str, Any]:
        """What a result depends on: seed, some of the settings, data, and the files of earlier stages."""
        for name in files:
            if not (self.out / name).is_file():
                raise UserError(f"{self.out / name}: not there; train that stage first")
        settings = asdict(self.settings)
        made = {n: hashlib.sha256((self.out / n).read_bytes()).hexdigest() for n in files}
        whole = {
            "stage": stage,
            "seed": self.seed,
            "settings": {key: settings[key] for key in keys},
            "from": {**self._hashes(), **made},
        }
        result: dict[str, Any] = json.loads(json.dumps(whole))
        return result

    def _finished(self, place: Path, identity: Mapping[str, Any]) -> bool:
        return self.resume and place.is_file() and load_checkpoint(place)[1] == identity

    def _hashes(self) -> dict[str, str]:
        return {"speech": manifest_hash(self.data / "speech"), **open_hashes(self.data)}

    def _provenance(self, stage: str, settings: Mapping[str, Any], data: dict[str, str]) -> None:
        folder = self.out if stage == "bundle" else self.out / stage
        write_provenance(folder / f"{stage}.run.json", seed=self.seed, settings=settings, data=data)


def _chosen(
    dialogues: list[TextDialogue], written: int, rng: np.random.Generator
) -> list[TextDialogue]:
    """All talk, and of what was written so many dialogues, those in which most is expressed."""
    kept = [dialogue for dialogue in dialogues if dialogue.corpus != "dailydialog"]
    rest = [dialogue for dialogue in dialogues if dialogue.corpus == "dailydialog"]
    weight = {"angry": 2.0, "sad": 2.0, "happy": 1.0}
    expressed = [sum(weight.get(turn.emotion4, 0.0) for turn in d.turns) for d in rest]
    order = np.argsort(-(np.array(expressed) + rng.random(len(rest))), kind="stable")
    return kept + [rest[i] for i in order[:written]]

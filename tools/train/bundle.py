"""`python -m tools.train bundle`: the shipped bundle, stage by stage, on open data only.

audio     LEAF's compression and the convolutional network, on acted speech
text      the text encoder, on single utterances of written dialogues
context   the two context encoders, on dialogues composed of both
fusion    the multimodal transformer, on the same; then the bundle is put together, calibrated and described

Each stage is kept in a folder of its own under --out, the finished bundle in --out itself.
"""

import argparse
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
from tools.data.cache import DEFAULT_CACHE, open_clips
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

STAGES = ("audio", "text", "context", "fusion")
_EMBEDDINGS = "embeddings.safetensors"


@dataclass(frozen=True)
class BundleSettings:
    """All that could be chosen otherwise; the defaults make the shipped bundle.

    Attributes:
        written: Dialogues of DailyDialog that are composed, of those which express something; of the others: all.
        noisy_texts: Versions of each text with recogniser-like noise, beside the true one.
        noise: Their greatest word error rate.
        clip_versions: Augmented versions of each clip, beside it as recorded and a short stretch of it.
        casts: How often each dialogue is composed, with other actors.
        calls: Calls made of clips alone.
    """

    audio: audio_stage.AudioSettings = field(default_factory=audio_stage.AudioSettings)
    text: text_stage.TextSettings = field(default_factory=text_stage.TextSettings)
    composition: Composition = field(default_factory=Composition)
    context: StageSettings = field(default_factory=lambda: StageSettings(epochs=4, batch=8))
    fusion: StageSettings = field(default_factory=lambda: StageSettings(epochs=4, batch=8))
    window: int = 8
    written: int = 700
    noisy_texts: int = 1
    noise: float = 0.5
    clip_versions: int = 4
    casts: int = 2
    calls: int = 1500
    name: str = "streamer-en-1"
    version: str = "1"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's own arguments."""
    parser.add_argument(
        "--data",
        type=Path,
        required=True,
        help="folder with speech/ (manifest.csv) and conversations/ (meld, emorynlp, dailydialog)",
    )
    parser.add_argument("--out", type=Path, required=True, help="where stages and bundle go")
    parser.add_argument(
        "--stage",
        choices=STAGES,
        help="train this stage only, on the earlier ones that are in --out; default: all of them",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument(
        "--resume", action="store_true", help="keep finished stages, go on with an interrupted one"
    )
    parser.add_argument(
        "--cache", type=Path, default=DEFAULT_CACHE, help="decoded clips (default %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")


def run(arguments: argparse.Namespace) -> None:
    """Trains what the arguments ask for."""
    torch.set_num_threads(arguments.threads)
    train_bundle(
        arguments.data,
        arguments.out,
        stages=(arguments.stage,) if arguments.stage else STAGES,
        seed=arguments.seed,
        resume=arguments.resume,
        cache=arguments.cache,
    )


def train_bundle(
    data: Path,
    out: Path,
    *,
    stages: tuple[str, ...] = STAGES,
    seed: int = 0,
    resume: bool = False,
    settings: BundleSettings | None = None,
    cache: Path = DEFAULT_CACHE,
    start: text_stage.Start | None = None,
) -> None:
    """Trains stages of the bundle; the last of them also puts it together.

    Args:
        data: Folder with speech/ and conversations/.
        out: Where each stage has a folder, and where the bundle goes.
        stages: Which of `STAGES`, in their order.
        seed: Equal seeds give equal results on one machine.
        resume: Stages that are finished are kept, an interrupted one is continued.
        settings: By default those of the shipped bundle.
        cache: Where decoded clips and energies are kept.
        start: What the text stage begins with; None: MiniLM.

    Raises:
        UserError: Data or an earlier stage are missing or damaged.
    """
    run_ = _Run(data, out, seed, resume, settings or BundleSettings(), cache, start)
    steps: Mapping[str, Callable[[], None]] = {
        "audio": run_.audio,
        "text": run_.text,
        "context": run_.context,
        "fusion": run_.fusion,
    }
    for stage in stages:
        steps[stage]()


@dataclass
class _Run:
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
        place = self.out / "context" / "context.safetensors"
        identity = self._identity("context", self.settings.context)
        if self._finished(place, identity):
            return
        model = self._model()
        train_contexts(model, self._dialogues(), self.settings.context, seed=self.seed)
        kept = {k: v for k, v in model.state_dict().items() if k.split(".")[0] in _CONTEXTS}
        save_checkpoint(place, kept, identity)
        self._provenance("context", identity["settings"], identity["from"])

    def fusion(self) -> None:
        """The fusion, in `out`/fusion; then the whole bundle, in `out`."""
        place = self.out / "fusion" / "fusion.safetensors"
        identity = self._identity("fusion", self.settings.fusion, "context/context.safetensors")
        model = self._model()
        contexts, _ = load_checkpoint(self.out / "context" / "context.safetensors")
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
        clips, texts = self._embeddings(written)
        bank = ClipBank([speech.clips[i] for i in places], clips)
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

    def _embeddings(self, written: list[TextDialogue]) -> tuple[Tensor, Tensor]:
        """Of all training clips [versions, n, D] and of all turns [versions, N, D]; computed once."""
        place = self.out / "context" / _EMBEDDINGS
        identity = self._identity("embeddings", None)
        if place.is_file():
            tensors, found = load_checkpoint(place)
            if found == identity:
                return tensors["clips"], tensors["texts"]
        rng = np.random.default_rng((self.seed, 6))
        speech = open_clips(self.data / "speech", self.cache)
        train = training_clips(speech.clips)
        versions = open_versions(
            speech, copies=self.settings.clip_versions, seed=self.seed, cache=self.cache
        )
        encoder, _ = audio_stage.load_audio_stage(self.out / "audio")
        clips = [embed_clips(encoder, version, train) for version in versions]
        clips.append(embed_clips(encoder, versions[0], train, short=rng))
        text_encoder, _, tokenizer = text_stage.load_text_stage(self.out / "text")
        said = [turn.text for dialogue in written for turn in dialogue.turns]
        noise = RecogniserNoise(said)
        texts = [text_stage.embed_texts(text_encoder, tokenizer, said)]
        for _ in range(self.settings.noisy_texts):
            heard = [noise(t, rng.uniform(0, self.settings.noise), rng) for t in said]
            texts.append(text_stage.embed_texts(text_encoder, tokenizer, heard))
        tensors = {"clips": torch.stack(clips), "texts": torch.stack(texts)}
        save_checkpoint(place, tensors, identity)
        return tensors["clips"], tensors["texts"]

    def _identity(self, stage: str, how: StageSettings | None, *made: str) -> dict[str, Any]:
        """What the result of a stage depends on."""
        settings = self.settings
        files = ("audio/" + audio_stage.CHECKPOINT, "text/" + text_stage.CHECKPOINT, *made)
        for name in files:
            if not (self.out / name).is_file():
                raise UserError(f"{self.out / name}: not there; train that stage first")
        keys = ("window", "written", "noisy_texts", "noise", "clip_versions", "casts", "calls")
        chosen = {key: getattr(settings, key) for key in keys}
        whole = {
            "stage": stage,
            "seed": self.seed,
            "settings": {
                **chosen,
                "composition": asdict(settings.composition),
                "training": asdict(how) if how is not None else None,
            },
            "from": {
                **self._hashes(),
                **{n: hashlib.sha256((self.out / n).read_bytes()).hexdigest() for n in files},
            },
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


_CONTEXTS = ("audio_context", "text_context")


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

"""The stages of the shipped bundle's training, each kept in a folder of its own, each frozen before the next."""

from dataclasses import asdict

import torch

from streamer.errors import UserError
from streamer_models.bundle import Bundle
from streamer_models.context.attention import ContextConfig
from streamer_models.context.fusion import FusionConfig
from streamer_models.heads.calibration import Calibration
from streamer_models.zoo.dutta2022 import Dutta2022, Dutta2022Config
from tools.data.cache import open_clips
from tools.data.manifest import manifest_hash
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.folds import dialogue_folds, speaker_folds, without
from tools.training.recipes.assembly import assemble
from tools.training.recipes.bundle_dialogues import SETTINGS, composed_dialogues
from tools.training.recipes.bundle_run import BundleRun
from tools.training.recipes.open_dialogues import (
    LABELS,
    OTHER,
    labelled_texts,
    open_dialogues,
    open_hashes,
)
from tools.training.tasks import audio as audio_stage
from tools.training.tasks import text as text_stage
from tools.training.tasks.audio_data import Selection, training_clips
from tools.training.tasks.dialogues import train_contexts, train_fusion
from tools.training.tasks.text_noise import RecogniserNoise

_CONTEXT = "context/context.safetensors"
_FUSION = "fusion/fusion.safetensors"
_CONTEXTS = ("audio_context", "text_context")


def train_audio_encoders(run: BundleRun) -> None:
    """Train the audio stage, in `out`/audio, and in folders of that the same without each fold of the speakers."""
    speech = open_clips(run.data / "speech", run.cache)
    clips = [speech.clips[i] for i in training_clips(speech.clips, run.parts)]
    folds = speaker_folds(clips, run.settings.folds)
    trainings = {"": (run.settings.audio, Selection(run.parts))}
    for fold in run.folds("audio"):
        apart = {clip.speaker for clip, own in zip(clips, folds, strict=True) if own == fold}
        trainings[without(fold)] = (
            run.settings.fold_audio,
            Selection(run.parts, frozenset(apart)),
        )
    for name, (settings, selection) in trainings.items():
        folder = run.out / "audio" / name
        if run.resume and (folder / audio_stage.CHECKPOINT).is_file():
            _, found = load_checkpoint(folder / audio_stage.CHECKPOINT)
            wanted = {
                "seed": run.seed,
                "settings": asdict(settings),
                "speech": manifest_hash(run.data / "speech"),
                "parts": list(run.parts),
            }
            if {key: found.get(key) for key in wanted} != wanted:
                raise UserError(
                    f"{folder}: of another seed, other settings, data or parts; train without --resume"
                )
            continue
        audio_stage.train_audio(
            run.data,
            folder,
            seed=run.seed,
            resume=run.resume,
            settings=settings,
            cache=run.cache,
            selection=selection,
        )


def train_text_encoders(run: BundleRun, start: text_stage.Start | None) -> None:
    """Train the text stage, in `out`/text, and in folders of that the same without each fold of the dialogues."""
    dialogues = open_dialogues(run.data, *run.splits)
    folds = dialogue_folds(dialogues, run.settings.folds)
    parts = {"": (run.settings.text, dialogues)}
    for fold in run.folds("text"):
        rest = [d for d, own in zip(dialogues, folds, strict=True) if own != fold]
        parts[without(fold)] = (run.settings.fold_text, rest)
    for name, (settings, part) in parts.items():
        learnt = labelled_texts(part)
        text_stage.train_text(
            learnt,
            (*LABELS, OTHER),
            run.out / "text" / name,
            seed=run.seed,
            resume=run.resume,
            settings=settings,
            noise=RecogniserNoise(learnt.texts),
            start=start,
        )
    run.provenance("text", asdict(run.settings.text), open_hashes(run.data))


def train_context_encoders(run: BundleRun) -> None:
    """Train both context encoders, in `out`/context."""
    place = run.out / _CONTEXT
    identity = run.identity("context", (*SETTINGS, "context"), run.encoders("audio", "text"))
    if run.finished(place, identity):
        return
    model = _model(run)
    train_contexts(model, composed_dialogues(run), run.settings.context, seed=run.seed)
    kept = {k: v for k, v in model.state_dict().items() if k.split(".")[0] in _CONTEXTS}
    save_checkpoint(place, kept, identity)
    run.provenance("context", identity["settings"], identity["from"])


def train_fusion_and_assemble(run: BundleRun) -> None:
    """Train the fusion, in `out`/fusion; write the whole bundle to `out`."""
    place = run.out / _FUSION
    earlier = (*run.encoders("audio", "text"), _CONTEXT)
    identity = run.identity("fusion", (*SETTINGS, "fusion"), earlier)
    model = _model(run)
    contexts, _ = load_checkpoint(run.out / _CONTEXT)
    model.load_state_dict(contexts, strict=False)
    if run.finished(place, identity):
        fusion, _ = load_checkpoint(place)
        model.load_state_dict(fusion, strict=False)
    else:
        train_fusion(model, composed_dialogues(run), run.settings.fusion, seed=run.seed)
        kept = {k: v for k, v in model.state_dict().items() if k.startswith("fusion.")}
        save_checkpoint(place, kept, identity)
        run.provenance("fusion", identity["settings"], identity["from"])
    _, _, tokenizer = text_stage.load_text_stage(run.out / "text")
    name, version = run.settings.name, run.settings.version
    assemble(
        Bundle(name, version, model.eval(), Calibration(), 0.0, tokenizer, card=""),
        run.data,
        run.out,
        seed=run.seed,
        cache=run.cache,
        holdout=Bundle.load(run.holdout) if run.holdout else None,
    )
    run.provenance("bundle", {**asdict(run.settings), "parts": run.parts}, run.hashes())


def _model(run: BundleRun) -> Dutta2022:
    """Return the whole model with the first two stages in it, the others new."""
    audio_encoder, _ = audio_stage.load_audio_stage(run.out / "audio")
    text_encoder, _, _ = text_stage.load_text_stage(run.out / "text")
    torch.manual_seed(run.seed)
    model = Dutta2022(
        Dutta2022Config(
            labels=LABELS,
            audio=audio_encoder.config,
            text=text_encoder.config,
            embedding=text_encoder.config.embedding,
            context=ContextConfig(),
            fusion=FusionConfig(),
            window=run.settings.window,
        )
    )
    model.audio, model.text = audio_encoder, text_encoder
    return model.eval()

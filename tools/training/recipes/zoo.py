"""`python -m tools.train zoo NAME`: a published system of the zoo, trained and compared on the protocol of all.

Learns from acted speech (each corpus and class alike), from MELD's utterances as text, and from both put together: a
text with a voice of the same emotion. Its encoders are those of a bundle, frozen. Evaluated on voices and dialogues
that it has not learnt from. Frames and tokens are kept in the cache; a training that was interrupted goes on where it
was.
"""

import argparse
import json
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import torch

from streamer_models.bundle import Bundle
from streamer_models.encoders.speaker_frames import SpeakerFrames
from streamer_models.heads.calibration import Calibration
from streamer_models.registry import SYSTEMS
from streamer_models.zoo.base import UtteranceSystem
from streamer_models.zoo.padi2022 import Padi2022
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.loop import StagePace, fit
from tools.training.recipes.zoo_evaluation import choose_fusion_weight, evaluate, figures_of
from tools.training.recipes.zoo_learning import Learning, Material
from tools.training.recipes.zoo_material import (
    Encoders,
    Features,
    encoders_of,
    material_of,
    new_system,
)
from tools.training.reporting import add_common_arguments, report
from tools.training.tasks.zoo_data import Amount
from tools.training.tasks.zoo_dialogues import (
    CONTEXT_PACE,
    Vectors,
    context_scores,
    learn_context,
)
from tools.training.tasks.zoo_speakers import SPEAKER_PACE, learn_speakers, verification

OWN_RECIPES = ("dutta2022", "late_fusion")
"""Systems that are trained by `python -m tools.train bundle` and `labels`."""


@dataclass(frozen=True)
class ZooSettings(StagePace):
    """Pace of a training."""

    epochs: int = 10
    speaker_epochs: int = SPEAKER_PACE.epochs
    """Of the stage that learns speakers, where a system has one."""
    context: int = 8
    """Utterances of a dialogue that one is classified with, where the system reads texts; 1: itself alone."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    names = [name for name in SYSTEMS.names() if name not in OWN_RECIPES]
    parser.add_argument("name", choices=names, help="the system")
    parser.add_argument(
        "--data", type=Path, required=True, help="folder with speech/ and conversations/meld"
    )
    add_common_arguments(
        parser,
        out="where the bundle goes",
        backbones="bundle whose encoders make frames and tokens (default %(default)s)",
        default="streamer-en-2",
    )
    parser.add_argument(
        "--epochs", type=int, default=ZooSettings.epochs, help="passes (default %(default)s)"
    )
    parser.add_argument(
        "--clips",
        type=int,
        default=Amount.clips,
        help="clips of a corpus at most (default %(default)s)",
    )
    parser.add_argument(
        "--texts", type=int, default=Amount.texts, help="texts at most (default %(default)s)"
    )
    parser.add_argument(
        "--context",
        type=int,
        default=ZooSettings.context,
        help="utterances that a text is classified with, itself counted (default %(default)s)",
    )
    parser.add_argument(
        "--features",
        choices=get_args(Features),
        default="whisper",
        help="frames of the bundle's Whisper encoder, log-mel, or the states of the speaker encoder that comes with "
        "the program (default %(default)s)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Train and evaluate what the arguments name."""
    torch.set_num_threads(arguments.threads)
    result = train_system(
        arguments.name,
        arguments.data,
        arguments.out,
        ZooSettings(epochs=arguments.epochs, context=arguments.context),
        Amount(arguments.clips, arguments.texts, arguments.seed),
        cache=arguments.cache,
        encoders=encoders_of(arguments.name, arguments.backbones, arguments.features),
    )
    report(arguments, result)


def train_system(
    name: str,
    data: Path,
    out: Path,
    settings: ZooSettings,
    amount: Amount,
    *,
    cache: Path,
    encoders: Encoders,
) -> dict[str, Any]:
    """Train a system, write its bundle to `out`, and give its figures.

    Args:
        name: In the registry.
        data: Folder with speech/ and conversations/meld.
        out: The bundle's directory.
        settings: Pace.
        amount: What is learnt from; its seed is that of everything.
        cache: Where clips and features are kept.
        encoders: Of frames and tokens.
    """
    material = material_of(name, data, cache, amount, encoders)
    watch = time.process_time()
    torch.manual_seed(amount.seed)
    changes = {"context": settings.context} if material.dialogues else {}
    model = new_system(name, material, **changes)
    learning = Learning(model, material)
    identity = {"name": name, "settings": asdict(settings), "amount": asdict(amount)}
    first: dict[str, Any] = {}
    if isinstance(material.encoder, SpeakerFrames):
        voice = material.encoder.voice
        first = {"verification": verification(voice, material.speech["dev"])}
    if isinstance(model, Padi2022) and material.voices is not None:
        first = _speakers_first(model, material, out, identity, amount.seed, settings)
    fit(
        model,
        range(len(learning)),
        learning.loss,
        settings,
        kept=out / "unfinished.safetensors",
        identity=identity,
        seed=amount.seed,
        title=name,
    )
    model.eval()
    choose_fusion_weight(model, material)
    minutes = (time.process_time() - watch) / 60
    calibration, figures = evaluate(model, material)
    if model.past is not None:
        figures["meld_dialogues"] = _in_context(model, material, out, identity, amount.seed)
    model.audio = material.encoder
    if material.text is not None:
        model.text = material.text.tokens
    bundle = _save(model, out, calibration, material, figures)
    size = sum(path.stat().st_size for path in out.iterdir()) / 1e6
    return {
        "name": name,
        "seed": amount.seed,
        "settings": asdict(settings),
        "amount": asdict(amount),
        "learnt_from": len(learning),
        "cpu_minutes": round(minutes, 1),
        "megabytes": round(size, 1),
        "labels": list(bundle.labels),
        **first,
        **figures,
    }


def _in_context(
    model: UtteranceSystem, material: Material, out: Path, identity: dict[str, Any], seed: int
) -> dict[str, Any]:
    """Train what past utterances say about the present one, and give figures of texts without and with it."""
    learnt, reported = (Vectors.of(model, material.dialogues[part]) for part in ("train", "report"))
    settings = CONTEXT_PACE
    identity = {**identity, "context": asdict(settings)}
    kept = out / "unfinished-context.safetensors"
    learn_context(model, learnt, settings, kept=kept, identity=identity, seed=seed)
    places = reported.places
    groups = [reported.names[dialogue] for dialogue, _ in places]
    return {
        name: figures_of(context_scores(model, reported, size=size), reported.truth(places), groups)
        for name, size in (("alone", 1), ("with_the_past", model.window))
    }


def _speakers_first(
    model: Padi2022,
    material: Material,
    out: Path,
    identity: dict[str, Any],
    seed: int,
    pace: ZooSettings,
) -> dict[str, Any]:
    """Train the audio branch on speakers, and tell how well it knows those of the development part."""
    assert material.voices is not None  # noqa: S101 - asked for only then
    done = out / "speakers.safetensors"
    settings = replace(SPEAKER_PACE, epochs=pace.speaker_epochs)
    identity = {**identity, "speakers": asdict(settings)}
    if done.is_file():
        tensors, described = load_checkpoint(done)
        if described["identity"] == json.loads(json.dumps(identity)):
            model.load_state_dict(tensors)
            return {"verification": described["verification"]}
    kept = out / "unfinished-speakers.safetensors"
    learn_speakers(model, material.voices, settings, kept=kept, identity=identity, seed=seed)
    model.eval()
    figures = verification(model.voice, material.speech["dev"])
    save_checkpoint(done, model.state_dict(), {"identity": identity, "verification": figures})
    return {"verification": figures}


def _save(
    model: UtteranceSystem,
    out: Path,
    calibration: Calibration,
    material: Material,
    figures: dict[str, Any],
) -> Bundle:
    tokenizer = None if material.text is None else material.text.tokenizer
    bundle = Bundle(
        name=model.name,
        version="1",
        model=model,
        calibration=calibration,
        threshold=0.5,
        tokenizer=tokenizer,
        card=f"# {model.name}\n\nTrained for comparison; research data, non-commercial use only.\n\n"
        f"```json\n{json.dumps(figures, indent=2)}\n```\n",
        license="Trained on research data: non-commercial use only",
        languages=("en",) if tokenizer else (),
    )
    bundle.save(out)
    return bundle

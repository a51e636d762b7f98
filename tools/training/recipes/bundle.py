"""`python -m tools.train bundle`: the shipped bundle, stage by stage, on open data only.

audio     LEAF's compression and the convolutional network, on acted speech
text      the text encoder, on single utterances of written dialogues
context   the two context encoders, on dialogues composed of both
fusion    the multimodal transformer, on the same; then the bundle is put together, calibrated and described

With `unseen_voices` or `unseen_texts` in the settings, the first two stages are also trained without folds of the
speakers or dialogues, and the last two learn from these as they would be of strangers (tools/training/folds.py).

Each stage is kept in a folder of its own under --out, the finished bundle in --out itself.
"""

import argparse
from pathlib import Path

import torch

from tools.data.cache import DEFAULT_CACHE
from tools.training.recipes.bundle_run import BundleRun, BundleSettings
from tools.training.recipes.bundle_stages import (
    train_audio_encoders,
    train_context_encoders,
    train_fusion_and_assemble,
    train_text_encoders,
)
from tools.training.tasks.text import Start

STAGES = ("audio", "text", "context", "fusion")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
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
        "--holdout",
        type=Path,
        metavar="BUNDLE",
        help="learn from the development parts too; temperatures, threshold and figures are those of this bundle, "
        "which was trained before by the same command without --holdout",
    )
    parser.add_argument(
        "--resume", action="store_true", help="keep finished stages, go on with an interrupted one"
    )
    parser.add_argument(
        "--cache", type=Path, default=DEFAULT_CACHE, help="decoded clips (default %(default)s)"
    )
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="CPU threads")


def run(arguments: argparse.Namespace) -> None:
    """Train what the arguments ask for."""
    torch.set_num_threads(arguments.threads)
    train_bundle(
        BundleRun(
            arguments.data,
            arguments.out,
            arguments.seed,
            arguments.resume,
            BundleSettings(),
            arguments.cache,
            arguments.holdout,
        ),
        stages=(arguments.stage,) if arguments.stage else STAGES,
    )


def train_bundle(
    run: BundleRun, *, stages: tuple[str, ...] = STAGES, start: Start | None = None
) -> None:
    """Train stages of the bundle; the last of them also puts it together.

    Args:
        run: Data, place and settings.
        stages: Which of `STAGES`, in their order.
        start: What the text stage begins with; None: MiniLM.

    Raises:
        UserError: Data or an earlier stage are missing or damaged, or --holdout is no such bundle.
    """
    run.check_holdout()
    train = {
        "audio": lambda: train_audio_encoders(run),
        "text": lambda: train_text_encoders(run, start),
        "context": lambda: train_context_encoders(run),
        "fusion": lambda: train_fusion_and_assemble(run),
    }
    for stage in stages:
        train[stage]()

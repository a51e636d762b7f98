"""`python -m tools.train sounds`: the network that finds laughs, sighs, crying, coughs and music.

It learns from scenes of six seconds, composed of clips of speech, sounds, music and noise. One speaker or recording in
three is kept apart; `python -m tools.evaluate sounds` measures on those.
"""

import argparse
import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from streamer_models.sound_network import SoundNetwork
from streamer_models.storage import pack, unpack
from tools.data.cache import DEFAULT_CACHE
from tools.training.loop import Loop, StagePace, adamw, warm_cosine
from tools.training.resume import Unfinished
from tools.training.tasks.sound_clips import held_out, load_clips, tones
from tools.training.tasks.sound_scenes import Scenes


@dataclass(frozen=True)
class SoundSettings(StagePace):
    """How the network learns, from scenes that come once."""

    steps: int = 100
    learning_rate: float = 3e-3


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("--speech", type=Path, required=True, help="folder with a manifest.csv")
    parser.add_argument("--music", type=Path, required=True, help="folder of recordings of music")
    parser.add_argument("--out", type=Path, default=Path("runs/sounds"), help="default %(default)s")
    parser.add_argument("--start", type=Path, help="weights.safetensors to go on from")
    parser.add_argument(
        "--epochs", type=int, default=SoundSettings.epochs, help="default %(default)s"
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=SoundSettings.learning_rate,
        help="the highest (default %(default)s)",
    )
    parser.add_argument("--seed", type=int, default=0, help="of all that is random (default 0)")
    parser.add_argument("--cache", type=Path, default=DEFAULT_CACHE, help="default %(default)s")


def run(arguments: argparse.Namespace) -> None:
    """Train the network; print the SHA-256 that the program checks."""
    settings = SoundSettings(epochs=arguments.epochs, learning_rate=arguments.learning_rate)
    clips = load_clips(arguments.speech, arguments.music, arguments.cache)
    learnt = [clip for clip in clips if not held_out(clip.group)]
    scenes = Scenes([*learnt, *tones(arguments.seed)], arguments.seed)
    torch.manual_seed(arguments.seed)
    network = SoundNetwork()
    if arguments.start:
        network.load_state_dict(unpack([arguments.start.read_bytes()], network.state_dict()))

    def loss(numbers: list[int]) -> Tensor:
        drawn = [scenes(number) for number in numbers]
        power, targets, counts = (
            torch.from_numpy(np.stack([getattr(scene, name) for scene in drawn]))
            for name in ("power", "targets", "counts")
        )
        logits, _ = network(power, network.begin(len(numbers)))
        losses = functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
        return (losses * counts).sum() / counts.sum()

    identity: dict[str, Any] = {"seed": arguments.seed, **asdict(settings), "clips": len(learnt)}
    optimizer = adamw(network, settings)
    kept = Unfinished(arguments.out / "progress.safetensors", {"network": network}, optimizer)
    Loop({"network": network}, optimizer, loss, warm_cosine, 5.0, "sounds", arguments.seed).run(
        settings.epochs,
        lambda epoch: numbers_of(epoch, settings),
        unfinished=kept,
        identity=identity,
        begin=kept.take_up(identity),
    )
    kept.forget()
    (weights,) = pack(network.state_dict())
    (arguments.out / "weights.safetensors").write_bytes(weights)
    print(f"weights.safetensors: SHA-256 {hashlib.sha256(weights).hexdigest()}")


def numbers_of(epoch: int, settings: SoundSettings) -> tuple[int, Iterator[list[int]]]:
    """Return the numbers of the scenes of an epoch, by batches; no scene comes twice."""
    first = epoch * settings.steps * settings.batch
    return settings.steps, (
        list(range(start, start + settings.batch))
        for start in range(first, first + settings.steps * settings.batch, settings.batch)
    )

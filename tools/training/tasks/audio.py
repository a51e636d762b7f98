"""The audio stage: LEAF's compression and the convolutional network learn emotions from labelled clips.

LEAF's filters stay as they begin (see energies.py). What is kept is a running average of the weights at the last
epoch; the development part chooses settings, not epochs.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from streamer.errors import UserError
from streamer_models.encoders.leaf_cnn import LeafCnn, LeafCnnConfig
from tools.data.cache import DEFAULT_CACHE, DecodedClips, open_clips
from tools.evaluate.metrics import Judgements, grouped_report
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.loop import Loop
from tools.training.provenance import write_provenance
from tools.training.resume import Unfinished
from tools.training.tasks.audio_data import (
    LABELS,
    Batch,
    Sampler,
    Selection,
    Targets,
    balanced_weights,
    development_clips,
    open_versions,
)
from tools.training.tasks.audio_network import AudioNetwork
from tools.training.tasks.audio_optimisation import AudioOptimisation, AudioSettings
from tools.training.tasks.energies import Energies

__all__ = ["CHECKPOINT", "REPORT", "AudioSettings", "load_audio_stage", "train_audio"]

CHECKPOINT = "audio.safetensors"
REPORT = "audio.json"
_PROGRESS = "audio.progress.safetensors"


def train_audio(
    data: Path,
    out: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    settings: AudioSettings | None = None,
    cache: Path = DEFAULT_CACHE,
    selection: Selection | None = None,
) -> dict[str, Any]:
    """Train the audio stage on `data`/speech and write `CHECKPOINT` and `REPORT` to `out`.

    Args:
        data: The folder that holds speech/.
        out: Where the result goes; progress is kept there too.
        seed: Equal seeds give equal results on one machine.
        resume: Goes on where an interrupted run of the same settings stopped.
        settings: By default those of the shipped bundle.
        cache: Where decoded clips and energies are kept.
        selection: Whom it learns from; by default all of the training part.

    Returns:
        The report on the development part.
    """
    settings, selection = settings or AudioSettings(), selection or Selection()
    speech = open_clips(data / "speech", cache)
    versions = open_versions(
        speech, copies=settings.copies, seed=seed, cache=cache, parts=selection.parts
    )
    train = selection.places(speech.clips)
    part = "dev (learnt from)" if "dev" in selection.parts else "dev"
    targets = Targets.of(speech.clips, train)
    sampler = Sampler(
        versions,
        np.asarray(train),
        balanced_weights(speech.clips, train, unlabelled=settings.unlabelled),
        targets,
        settings.longest,
    )
    identity = {
        "seed": seed,
        "settings": asdict(settings),
        "speech": speech.sha256,
        "parts": selection.parts,
        "apart": sorted(selection.apart),
    }
    run = AudioOptimisation(settings, targets.speakers, seed)
    networks = {"network": run.network, "averaged": run.averaged}
    unfinished = Unfinished(out / _PROGRESS, networks, run.optimizer)

    def batches(epoch: int) -> tuple[int, Iterator[tuple[float, Batch]]]:
        strength = settings.strength(epoch)
        clean = 1.0 - strength * (1.0 - settings.clean)
        drawn = sampler.epoch(seed, epoch, clips=settings.clips, batch=settings.batch, clean=clean)
        return settings.steps, ((strength, batch) for batch in drawn)

    def score(epochs: int) -> str:
        if epochs % settings.look:
            return ""
        return f"{part} {summary(evaluate_energies(run.averaged, speech, versions[0]))}"

    loop: Loop[tuple[float, Batch]] = Loop(
        networks={"network": run.network},
        optimizer=run.optimizer,
        loss=lambda drawn: run.loss(*drawn),
        factor=settings.factor,
        clip=5.0,
        title="audio",
        seed=seed,
        after_step=run.average,
        after_epoch=score,
    )
    begin = unfinished.take_up(identity) if resume else 0
    loop.run(settings.epochs, batches, unfinished=unfinished, identity=identity, begin=begin)
    results = evaluate_energies(run.averaged, speech, versions[0])
    save_audio_stage(
        out, run.averaged.encoder, run.averaged.head(), {**identity, "dev": results["ua"]}
    )
    (out / REPORT).write_text(json.dumps({"part": part, **results}, indent=2) + "\n")
    write_provenance(
        out / "audio.run.json", seed=seed, settings=asdict(settings), data={"speech": speech.sha256}
    )
    unfinished.forget()
    return results


def save_audio_stage(out: Path, encoder: LeafCnn, head: nn.Linear, about: dict[str, Any]) -> None:
    """Write the stage's result in one step."""
    tensors = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    tensors |= {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    description = {"labels": LABELS, "encoder": encoder.config.model_dump(), **about}
    save_checkpoint(out / CHECKPOINT, tensors, description)


def load_audio_stage(folder: Path) -> tuple[LeafCnn, nn.Linear]:
    """Return the result of the audio stage, in evaluation mode.

    Args:
        folder: What the stage was given as `--out`.

    Returns:
        The encoder, and its classifier: embedding [B, 100] -> logits [B, 4] in the order of `LABELS`.

    Raises:
        UserError: The stage has not been trained, or the file is damaged or of another shape.
    """
    tensors, description = load_checkpoint(folder / CHECKPOINT)
    encoder = LeafCnn(LeafCnnConfig())
    if description.get("encoder") != encoder.config.model_dump():
        raise UserError(
            f"{folder / CHECKPOINT}: made by another version of the encoder; train the audio stage again"
        )
    head = nn.Linear(encoder.config.embedding, len(LABELS))
    for module, prefix in ((encoder, "encoder."), (head, "head.")):
        module.load_state_dict(
            {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
        )
    return encoder.eval(), head.eval()


@torch.inference_mode()
def evaluate_energies(
    network: AudioNetwork, speech: DecodedClips, version: Energies
) -> dict[str, Any]:
    """Return the report on the labelled clips of the development part, whole clips, with the corpora as groups."""
    encoder, head = network.encoder, network.head()
    clips = sorted(development_clips(speech.clips), key=version.frames)
    floor = encoder.config.leaf.floor
    logits: list[Tensor] = []
    for start in range(0, len(clips), 32):
        pieces = [
            torch.from_numpy(version.of(clip).astype(np.float32)).exp()
            for clip in clips[start : start + 32]
        ]
        frames = torch.tensor([len(piece) for piece in pieces])
        energies = nn.utils.rnn.pad_sequence(
            pieces, batch_first=True, padding_value=floor
        ).transpose(1, 2)
        logits.append(head(encoder.from_energies(energies, frames)))
    rows = [speech.clips[clip] for clip in clips]
    judgements = Judgements.of(
        LABELS,
        [row.emotion4 for row in rows],
        torch.cat(logits).softmax(dim=1).numpy(),
        [row.speaker for row in rows],
    )
    return grouped_report(judgements, {"corpus": [row.corpus for row in rows]})


def summary(results: dict[str, Any]) -> str:
    """Return a report in one line: unweighted accuracy, of all and of each corpus."""
    corpora = results["groups"]["corpus"]
    mean = np.mean([part["ua"]["value"] for part in corpora.values()])
    each = ", ".join(f"{name} {part['ua']['value']:.3f}" for name, part in corpora.items())
    return f"UA {results['ua']['value']:.3f}, mean of corpora {mean:.3f} ({each})"

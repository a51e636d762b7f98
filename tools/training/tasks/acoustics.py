"""The audio stage on features instead of waveforms: log-mel frames through the network's CNN, and acoustic statistics.

For research on data whose sound is there as features only. A bundle does not hold this encoder: it lies beside the
bundle, in a file of its own, and what runs live never needs it.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamer.errors import UserError
from streamer_models.encoders.leaf_cnn import RECEPTIVE_FIELD, LeafCnn
from tools.data.iemocap import BANDS, Features
from tools.progress import progress
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.loop import StagePace, fit
from tools.training.recipes.dyadic_encoders import CLASSES, Dialogues, class_of
from tools.training.tasks.acoustic_encoder import AcousticEncoder, AcousticSet

CHECKPOINT = "acoustics.safetensors"


@dataclass(frozen=True)
class AcousticSettings(StagePace):
    """All that could be chosen otherwise.

    Attributes:
        longest: Frames (32 ms) to which utterances are cut at random while learning.
        masked: Largest width of a band mask and of a time mask (SpecAugment; Park et al., Interspeech 2019).
        convolutional: Whether the CNN hears the frames; False: the statistics alone.
        class_weights: A class weighs (1 / its share) to this power.
    """

    epochs: int = 20
    batch: int = 64
    longest: int = 108
    weight_decay: float = 0.1
    dropout: float = 0.4
    masked: int = 10
    smoothing: float = 0.1
    class_weights: float = 0.5
    convolutional: bool = False


def train_acoustics(
    data: AcousticSet,
    labels: Tensor,
    classes: int,
    out: Path,
    *,
    embedding: int = 100,
    seed: int = 0,
    settings: AcousticSettings | None = None,
) -> AcousticEncoder:
    """Train the encoder with a linear classifier of its own, and write `CHECKPOINT` to `out`.

    What is there already from the same seed, settings and number of utterances is taken instead.

    Args:
        data: To learn from.
        labels: The class of each utterance, int64 [N]; negative where there is none.
        classes: How many there are.
        out: Where the result goes.
        embedding: Size of an embedding.
        seed: Equal seeds give equal results on one machine.
        settings: How.

    Returns:
        The encoder, in evaluation mode.
    """
    settings = settings or AcousticSettings()
    said = json.dumps([[u.name for u in data.utterances], labels.tolist()])
    identity = {
        "seed": seed,
        "settings": asdict(settings),
        "utterances": hashlib.sha256(said.encode()).hexdigest(),
    }
    if (out / CHECKPOINT).is_file():
        encoder, description = _load(out / CHECKPOINT)
        if description.get("identity") == identity:
            return encoder
    torch.manual_seed(seed)
    encoder = AcousticEncoder(
        len(data.features.names), embedding, convolutional=settings.convolutional
    )
    raw = data.raw()[data.has]
    encoder.mean.copy_(raw.nanmean(0))
    encoder.deviation.copy_((raw - encoder.mean).square().nanmean(0).sqrt().clamp(min=1e-6))
    if encoder.cnn is not None:
        # A fifth faster; torch's own type hints do not know the argument.
        encoder.cnn.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    classifier = _Classifier(encoder, classes, settings.dropout)
    statistics = data.statistics(encoder)
    usable = torch.nonzero((labels >= 0) & data.has)[:, 0]
    shares = torch.bincount(labels[usable], minlength=classes).clamp(min=1) / len(usable)
    loss = nn.CrossEntropyLoss(shares**-settings.class_weights, label_smoothing=settings.smoothing)

    def loss_of(places: list[int]) -> Tensor:
        frames, counts = _varied(data, places, settings)
        mean: Tensor = loss(classifier(frames, counts, statistics[places]), labels[places])
        return mean

    fit(
        classifier,
        usable.tolist(),
        loss_of,
        settings,
        kept=out / f"{CHECKPOINT}.progress",
        identity=identity,
        seed=seed,
        title="audio",
    )
    _save(out / CHECKPOINT, encoder, identity)
    return load_acoustics(
        out
    )  # laid out in memory as a resumed run finds it, so that both compute the same


def load_acoustics(folder: Path) -> AcousticEncoder:
    """Return the encoder that lies in a folder, in evaluation mode.

    Raises:
        UserError: There is none, or it is damaged.
    """
    return _load(folder / CHECKPOINT)[0]


@dataclass(frozen=True)
class TrainedAcoustics:
    """An audio stage's result on features; see `dyadic_encoders.TrainedAudio`."""

    features: Features
    acoustics: AcousticEncoder

    @property
    def encoder(self) -> LeafCnn | None:
        """None: it does not hear waveforms."""
        return None

    def __call__(self, dialogues: Dialogues) -> tuple[Tensor, Tensor]:
        """Return embeddings of all utterances [N, embedding], and which have one, bool [N]."""
        data = AcousticSet(dialogues, self.features)
        return embed_acoustics(self.acoustics, data), data.has

    def save(self, directory: Path) -> None:
        """Write `CHECKPOINT`."""
        _save(directory / CHECKPOINT, self.acoustics, {})


@dataclass(frozen=True)
class AcousticStage:
    """Trains an `TrainedAcoustics`; see `dyadic_encoders.AudioStage`."""

    features: Features
    how: AcousticSettings = field(default_factory=AcousticSettings)
    embedding: int = 100

    def train(self, dialogues: Dialogues, out: Path, *, seed: int) -> TrainedAcoustics:
        """Train one; what `out` holds of the same training is taken instead."""
        data = AcousticSet(dialogues, self.features)
        labels = [CLASSES.index(class_of(utterance)) for utterance in data.utterances]
        encoder = train_acoustics(
            data,
            torch.tensor(labels),
            len(CLASSES),
            out,
            embedding=self.embedding,
            seed=seed,
            settings=self.how,
        )
        return TrainedAcoustics(self.features, encoder)

    def settings(self) -> dict[str, Any]:
        """Return all that could be chosen otherwise."""
        return {**asdict(self.how), "embedding": self.embedding}


@torch.inference_mode()
def embed_acoustics(encoder: AcousticEncoder, data: AcousticSet, *, batch: int = 32) -> Tensor:
    """Return the embeddings of all utterances [N, embedding]; the encoder must be in evaluation mode."""
    statistics = data.statistics(encoder)
    rows = torch.zeros(len(statistics), encoder.projection.out_features)
    length = [len(data.features.frames(u)) if u in data.features else 0 for u in data.utterances]
    order = sorted(range(len(rows)), key=lambda place: length[place])
    starts = range(0, len(order), batch)
    for first in progress(starts, f"Embedding {len(rows)} sounds"):
        places = order[first : first + batch]
        rows[places] = encoder(*data.frames(places), statistics[places])
    return rows


def _save(path: Path, encoder: AcousticEncoder, identity: dict[str, Any]) -> None:
    shape = {
        "statistics": len(encoder.mean),
        "embedding": encoder.projection.out_features,
        "convolutional": encoder.cnn is not None,
    }
    save_checkpoint(path, encoder.state_dict(), {**shape, "identity": identity})


def _load(path: Path) -> tuple[AcousticEncoder, dict[str, Any]]:
    tensors, description = load_checkpoint(path)
    try:
        encoder = AcousticEncoder(
            int(description["statistics"]),
            int(description["embedding"]),
            convolutional=bool(description["convolutional"]),
        )
        encoder.load_state_dict(tensors)
    except (KeyError, TypeError, ValueError, RuntimeError) as error:
        raise UserError(f"{path}: not an acoustic encoder; train it again") from error
    return encoder.eval(), description


class _Classifier(nn.Module):
    """What is trained: the encoder and a linear classifier."""

    def __init__(self, encoder: AcousticEncoder, classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        self.head = nn.Sequential(
            nn.Dropout(dropout), nn.Linear(encoder.projection.out_features, classes)
        )

    def forward(self, frames: Tensor, counts: Tensor, statistics: Tensor) -> Tensor:
        logits: Tensor = self.head(self.encoder(frames, counts, statistics))
        return logits


def _varied(
    data: AcousticSet, places: Sequence[int], settings: AcousticSettings
) -> tuple[Tensor, Tensor]:
    """Return frames cut at random, one stretch of bands and one of time of each blanked out."""
    if not settings.convolutional:
        return torch.zeros(len(places), BANDS, 1), torch.ones(len(places), dtype=torch.int64)
    frames, counts = data.frames(places, settings.longest)
    frames = nn.functional.pad(frames, (0, max(0, RECEPTIVE_FIELD - frames.shape[-1])))
    for axis in (1, 2):
        size = frames.shape[axis]
        width = torch.rand(len(places), 1) * min(settings.masked, size / 3)
        start = torch.rand(len(places), 1) * (size - width)
        place = torch.arange(size)
        hidden = (place >= start) & (place < start + width)
        frames = torch.where(hidden.unsqueeze(3 - axis), 0.0, frames)
    return frames, counts

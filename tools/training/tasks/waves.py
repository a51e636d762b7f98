"""The audio stage on the waveforms of a corpus: LEAF and the convolutional network, all of it learning."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamer.audio import SAMPLE_RATE
from streamer_models.encoders.leaf_cnn import LeafCnn
from tools.data.decoding import decode
from tools.data.iemocap import LABELS, Utterance
from tools.progress import progress
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.loop import StagePace, fit
from tools.training.recipes.dyadic_encoders import Dialogues

CHECKPOINT = "waves.safetensors"


@dataclass(frozen=True)
class WaveSettings(StagePace):
    """All that could be chosen otherwise.

    Attributes:
        longest_s: To how many seconds utterances are cut at random while learning.
        gain_db: Largest change of loudness while learning.
        class_weights: A class weighs (1 / its share) to this power.
    """

    epochs: int = 40
    batch: int = 16
    longest_s: float = 4.0
    gain_db: float = 10.0
    weight_decay: float = 0.02
    dropout: float = 0.4
    smoothing: float = 0.1
    class_weights: float = 0.5


@dataclass(frozen=True)
class TrainedWaves:
    """An audio stage's result on waveforms; see `dyadic_encoders.TrainedAudio`."""

    encoder: LeafCnn
    path_of: Callable[[Utterance], Path]

    @torch.inference_mode()
    def __call__(self, dialogues: Dialogues) -> tuple[Tensor, Tensor]:
        """Return embeddings of all utterances [N, embedding], and which have one, bool [N]."""
        utterances = [utterance for dialogue in dialogues for utterance in dialogue]
        embeddings = torch.zeros(len(utterances), self.encoder.config.embedding)
        has = torch.zeros(len(utterances), dtype=torch.bool)
        title = f"Embedding {len(utterances)} sounds"
        for place, utterance in enumerate(progress(utterances, title)):
            if len(wave := _wave(self.path_of(utterance))):
                embeddings[place] = self.encoder(wave[None])[0]
                has[place] = True
        return embeddings, has

    def save(self, directory: Path) -> None:
        """Write nothing: a bundle holds all of it."""


@dataclass(frozen=True)
class WaveStage:
    """Trains a `TrainedWaves`; see `dyadic_encoders.AudioStage`."""

    path_of: Callable[[Utterance], Path]
    how: WaveSettings = field(default_factory=WaveSettings)

    def train(self, dialogues: Dialogues, out: Path, *, seed: int) -> TrainedWaves:
        """Train one; what `out` holds of the same training is taken instead."""
        usable = [u for d in dialogues for u in d if u.emotion4 and self.path_of(u).is_file()]
        said = json.dumps([[u.name, u.emotion4] for u in usable])
        identity = {
            "seed": seed,
            "settings": self.settings(),
            "utterances": hashlib.sha256(said.encode()).hexdigest(),
        }
        torch.manual_seed(seed)
        encoder = LeafCnn()
        if (out / CHECKPOINT).is_file():
            tensors, description = load_checkpoint(out / CHECKPOINT)
            if description.get("identity") == identity:
                encoder.load_state_dict(tensors)
                return TrainedWaves(encoder.eval(), self.path_of)
        self._fit(encoder, usable, out, identity, seed)
        save_checkpoint(out / CHECKPOINT, encoder.state_dict(), {"identity": identity})
        return TrainedWaves(encoder.eval(), self.path_of)

    def settings(self) -> dict[str, Any]:
        """Return all that could be chosen otherwise, as JSON holds it."""
        return asdict(self.how)

    def _fit(
        self,
        encoder: LeafCnn,
        utterances: Sequence[Utterance],
        out: Path,
        identity: dict[str, Any],
        seed: int,
    ) -> None:
        head = nn.Sequential(
            nn.Dropout(self.how.dropout), nn.Linear(encoder.config.embedding, len(LABELS))
        )
        labels = torch.tensor([LABELS.index(utterance.emotion4) for utterance in utterances])
        shares = torch.bincount(labels, minlength=len(LABELS)).clamp(min=1) / len(labels)
        loss = nn.CrossEntropyLoss(
            shares**-self.how.class_weights, label_smoothing=self.how.smoothing
        )

        def loss_of(places: list[int]) -> Tensor:
            waves = [self._varied(_wave(self.path_of(utterances[i]))) for i in places]
            lengths = torch.tensor([len(wave) for wave in waves])
            padded = nn.utils.rnn.pad_sequence(waves, batch_first=True)
            mean: Tensor = loss(head(encoder(padded, lengths)), labels[places])
            return mean

        fit(
            nn.ModuleList([encoder, head]),
            range(len(utterances)),
            loss_of,
            self.how,
            kept=out / f"{CHECKPOINT}.progress",
            identity=identity,
            seed=seed,
            title="LEAF and CNN",
        )

    def _varied(self, wave: Tensor) -> Tensor:
        """Cut at random, and louder or softer."""
        longest = round(self.how.longest_s * SAMPLE_RATE)
        start = int(torch.randint(max(1, len(wave) - longest + 1), ()))
        gain_db = float(torch.empty(()).uniform_(-self.how.gain_db, self.how.gain_db))
        return wave[start : start + longest] * 10 ** (gain_db / 20)


def _wave(path: Path) -> Tensor:
    """Return samples float32 [n] at 16 kHz; none where there is no such file."""
    return torch.from_numpy(decode(path)) if path.is_file() else torch.zeros(0)

"""Settings, network, loss, optimizer and running average of the audio task."""

import copy
import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from streamer_models.encoders.leaf_cnn import LeafCnn, LeafCnnConfig
from tools.training.tasks.audio_data import LABELS, NONE, Batch
from tools.training.tasks.audio_network import AudioNetwork, Masks, Variation


@dataclass(frozen=True)
class AudioSettings:
    """All that could be chosen otherwise; the defaults are those of the shipped bundle.

    Attributes:
        epochs: Each draws `clips` clips, balanced over corpora, emotions and speakers.
        copies: Augmented versions kept of each clip.
        clean: The share of draws from the clips as recorded, once the training is as hard as it gets.
        longest: Frames (30 ms) to which clips are cut.
        four: Weight of the loss over the four labels; the one over all emotions has weight 1.
        speaker: Weight of the loss over speakers.
        mixup: The share of batches in which clips are mixed in pairs.
        average: Decay of the running average of the weights, each step.
        ramp: The share of the training over which it grows from plain clips to the full strength of all variation.
        decay: The share of the training, its last, over which the learning rate falls to nothing.
        look: Epochs from one look at the development part to the next.
        pcen_alpha: Where the compression's gain control is held: at 1 how loud a source is makes no difference.
        pcen_delta: Where the compression's offset begins: nearer to a logarithm than LEAF's own 2, which learns slower.
        pcen_root: Likewise, in place of 2.
    """

    epochs: int = 84
    clips: int = 3200
    batch: int = 32
    copies: int = 3
    clean: float = 0.5
    longest: int = 130
    learning_rate: float = 1.5e-3
    weight_decay: float = 0.02
    dropout: float = 0.1
    smoothing: float = 0.05
    four: float = 1.0
    speaker: float = 0.05
    unlabelled: float = 0.04
    mixup: float = 0.2
    average: float = 0.998
    ramp: float = 0.38
    decay: float = 0.36
    look: int = 5
    pcen_alpha: float = 1.0
    pcen_delta: float = 0.05
    pcen_root: float = 4.0

    @property
    def steps(self) -> int:
        """Optimiser steps of an epoch."""
        return max(1, self.clips // self.batch)

    def strength(self, epoch: int) -> float:
        """Return how hard the training is made: 0 at first, 1 from `ramp` on."""
        return min(1.0, epoch / max(1.0, self.ramp * self.epochs))

    def factor(self, done: float) -> float:
        """Return factor of the learning rate: 100 steps of warm-up, then 1, at last linearly down to 0."""
        step = round(done * self.epochs * self.steps)
        return min(1.0, (step + 1) / 100, (1 - done) / self.decay)


class AudioOptimisation:
    """What the loop needs: networks, optimizer, loss, and the running average of the weights."""

    def __init__(self, settings: AudioSettings, speakers: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.settings = settings
        self.network = AudioNetwork(LeafCnn(LeafCnnConfig()), speakers, settings.dropout)
        for parameter in self.network.encoder.cnn.parameters():
            if parameter.ndim == 4:  # channels last: twice as fast in bfloat16
                parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
        leaf = self.network.encoder.leaf.requires_grad_(False)
        leaf.pcen.requires_grad_(True)
        leaf.pcen.alpha.requires_grad_(False)
        with torch.no_grad():
            leaf.pcen.alpha.fill_(settings.pcen_alpha)
            leaf.pcen.delta.fill_(settings.pcen_delta)
            leaf.pcen.root.fill_(settings.pcen_root)
        self.averaged = copy.deepcopy(self.network).eval()
        rest = [*self.network.encoder.cnn.parameters(), *self.network.emotion.parameters()]
        rest += self.network.speaker.parameters()
        rate = settings.learning_rate
        self.optimizer = torch.optim.AdamW(
            [
                {
                    "params": [p for p in rest if p.ndim > 1],
                    "weight_decay": settings.weight_decay,
                    "peak": rate,
                },
                {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0, "peak": rate},
                {
                    "params": [p for p in leaf.pcen.parameters() if p.requires_grad],
                    "weight_decay": 0.0,
                    "peak": 0.1 * rate,  # the compression has few numbers, which must not jump
                },
            ]
        )
        self.variation, self.masks = Variation(), Masks()

    def loss(self, strength: float, batch: Batch) -> Tensor:
        """Return mean loss of a batch.

        Args:
            strength: 0 to 1, how strongly clips are varied.
            batch: Energies and targets.
        """
        settings = self.settings
        floor = math.log(self.network.encoder.config.leaf.floor)
        energies = self.variation(batch.logarithms, floor, strength).exp()
        share, partner = 1.0, torch.arange(len(energies))
        if float(torch.rand(())) < settings.mixup * strength:
            share = float(torch.empty(()).uniform_(0.5, 1.0))
            partner = torch.randperm(len(energies))
            energies = share * energies + (1 - share) * energies[partner]
        masked = float(torch.rand(())) < strength
        emotions, speakers = self.network(energies, self.masks if masked else None)
        total = torch.zeros(())
        for weight, mates in ((share, slice(None)), (1 - share, partner)):
            if weight > 0:
                emotion, speaker = batch.emotion[mates], batch.speaker[mates]
                four = torch.where(emotion < len(LABELS), emotion, NONE)
                total = total + weight * (
                    _cross_entropy(emotions, emotion, settings.smoothing)
                    + settings.four
                    * _cross_entropy(emotions[:, : len(LABELS)], four, settings.smoothing)
                    + settings.speaker * _cross_entropy(speakers, speaker, 0.0)
                )
        return total

    @torch.no_grad()
    def average(self, steps: int) -> None:
        """Move the average towards the weights; faster in the beginning, when it is worth little."""
        decay = min(self.settings.average, steps / (9 + steps))
        for kept, now in zip(
            self.averaged.state_dict().values(), self.network.state_dict().values(), strict=True
        ):
            if kept.is_floating_point():
                kept.lerp_(now, 1 - decay)
            else:
                kept.copy_(now)


def _cross_entropy(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    """Return mean over the batch; clips without that label count as zero."""
    summed = functional.cross_entropy(
        logits, target, ignore_index=NONE, label_smoothing=smoothing, reduction="sum"
    )
    return summed / len(logits)

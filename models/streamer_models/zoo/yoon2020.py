"""Yoon et al., "Attentive modality hopping mechanism for speech emotion recognition" (ICASSP 2020).

A GRU for each modality; then hops, in each of which one modality's states are attended to in the context of the other
two: h1 = [audio; text] -> video, h2 = [text; H video] -> audio, h3 = [H audio; H video] -> text, and again.

Deviations: features of this package instead of MFCC-120 with prosody and GloVe; video is a sequence of feature vectors
that come with the recording. Modalities that are missing are zero vectors in contexts, and hops to them change nothing.
"""

from itertools import cycle, islice
from typing import Annotated, ClassVar

import torch
from pydantic import Field
from torch import Tensor, nn

from streamer_models.config import Width
from streamer_models.layers.masking import masked_softmax
from streamer_models.layers.recurrent import last_real
from streamer_models.sequences import Sequences, Utterances
from streamer_models.zoo.base import UtteranceConfig, UtteranceSystem

_ORDER = ("video", "audio", "text")


class Yoon2020Config(UtteranceConfig):
    """Sizes; the defaults are the paper's."""

    audio_hidden: Width = 200
    text_hidden: Width = 200
    video_hidden: Width = 128
    video: Annotated[int, Field(ge=0, le=4096)] = 0
    """Size of a video feature vector; 0: no video."""
    hops: Annotated[int, Field(ge=1, le=32)] = 7

    @property
    def sizes(self) -> tuple[int, int, int]:
        """Sizes of an audio, text and video vector."""
        audio, text, _ = super().sizes
        return audio, text, self.video or 1


class Yoon2020(UtteranceSystem):
    """Attention that hops from modality to modality."""

    name: ClassVar = "yoon2020"
    config_class: ClassVar = Yoon2020Config

    def __init__(self, config: Yoon2020Config) -> None:
        super().__init__(config)
        hidden = {
            "audio": config.audio_hidden,
            "text": config.text_hidden,
            "video": config.video_hidden,
        }
        inputs = dict(zip(("audio", "text", "video"), config.sizes, strict=True))
        has = {
            "audio": config.audio is not None,
            "text": config.text is not None,
            "video": config.video > 0,
        }
        used = [name for name in _ORDER if has[name]]
        self.targets = list(islice(cycle(used), config.hops))
        """The modality that each hop attends to."""
        self.grus = nn.ModuleDict(
            {name: nn.GRU(inputs[name], hidden[name], batch_first=True) for name in used}
        )
        self.hops = nn.ModuleList(
            Hop(sum(size for other, size in hidden.items() if other != name), hidden[name])
            for name in self.targets
        )
        self.hidden = hidden
        self.add_heads(sum(hidden.values()))

    def fused(self, batch: Utterances) -> Tensor:
        """[H audio; H text; H video] after all hops."""
        states, found = {}, {}
        for name, size in self.hidden.items():
            sequences: Sequences = getattr(batch, name)
            if name in self.grus:
                states[name], found[name] = self._read(name, sequences)
            else:
                found[name] = sequences.values.new_zeros(len(sequences.values), size)
        for target, hop in zip(self.targets, self.hops, strict=True):
            sequences = getattr(batch, target)
            context = torch.cat([v for name, v in found.items() if name != target], dim=-1)
            found[target] = hop(context, states[target], sequences.mask)
        return torch.cat(list(found.values()), dim=-1)

    def _read(self, name: str, sequences: Sequences) -> tuple[Tensor, Tensor]:
        """Return a modality's states [B, T, hidden] and its last one [B, hidden]; zero if it is missing."""
        states, _ = self.grus[name](sequences.values)
        lengths = sequences.mask.sum(1)
        last = last_real(states, lengths.clamp(min=1))
        return states, last * sequences.present[:, None]


class Hop(nn.Module):
    """Attend to one modality's states in the context of the others': C = context W + b, softmax_i(C h_i)."""

    def __init__(self, context: int, states: int) -> None:
        super().__init__()
        self.context = nn.Linear(context, states)

    def forward(self, context: Tensor, states: Tensor, mask: Tensor) -> Tensor:
        """Map context [B, C], states [B, T, H] and their mask [B, T] -> [B, H]."""
        scores = (states @ self.context(context)[..., None])[..., 0]
        return (masked_softmax(scores, mask)[:, None] @ states)[:, 0]

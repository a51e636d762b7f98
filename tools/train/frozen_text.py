"""The text stage over a MiniLM that stays as it is: what it says of each token is computed once, for all trainings.

What learns is the GRU over its last layers, the embedding's projection and a linear classifier.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from models.text_encoder import TextEncoder, TextTokenizer
from tools.progress import progress
from tools.train.checkpoint import load_checkpoint, save_checkpoint
from tools.train.fitting import fit

READER = "reader.safetensors"


@dataclass(frozen=True)
class ReadingSettings:
    """All that could be chosen otherwise.

    Attributes:
        batch: Utterances in a step.
        input_dropout: Of what MiniLM says.
        dropout: Before the classifier.
        class_weights: A class weighs (1 / its share) to this power.
        unlabelled: Weight of an utterance without one of the labels, to one with.
    """

    epochs: int = 6
    batch: int = 64
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    input_dropout: float = 0.2
    dropout: float = 0.4
    smoothing: float = 0.1
    class_weights: float = 0.5
    unlabelled: float = 0.5


@dataclass(frozen=True)
class States:
    """What the last layers say of the tokens of texts, one text after another."""

    tokens: Tensor
    """[T, layers * width], bfloat16."""
    ends: Tensor
    """Where each text ends, int64 [n]."""

    def of(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Of some texts: [B, T, layers * width] with padding behind each, and their lengths [B]."""
        starts = torch.cat([self.ends.new_zeros(1), self.ends[:-1]])
        rows = [self.tokens[starts[i] : self.ends[i]].float() for i in places]
        return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])


@torch.inference_mode()
def compute_states(
    encoder: TextEncoder, tokenizer: TextTokenizer, texts: Sequence[str], *, batch: int = 64
) -> States:
    """What a text encoder's last layers say of texts; it must be in evaluation mode."""
    last = encoder.config.last_layers
    found: list[Tensor] = [torch.empty(0)] * len(texts)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    starts = range(0, len(order), batch)
    for first in progress(starts, f"Reading {len(texts)} texts"):
        places = order[first : first + batch]
        ids, mask = tokenizer([texts[i] for i in places])
        layers = torch.cat(encoder.bert(ids, mask)[-last:], dim=-1).bfloat16()
        for place, row, real in zip(places, layers, mask, strict=True):
            found[place] = row[real]
    ends = torch.tensor([len(rows) for rows in found]).cumsum(0)
    return States(torch.cat(found), ends)


def save_states(path: Path, states: States, identity: dict[str, Any]) -> None:
    """Writes them, with what they depend on."""
    save_checkpoint(path, vars(states), {"identity": identity})


def load_states(path: Path) -> States:
    """Reads what `save_states` wrote."""
    return States(**load_checkpoint(path)[0])


def train_reader(  # noqa: PLR0913 - what is learned from, how, and where it goes
    encoder: TextEncoder,
    versions: Sequence[States],
    targets: Tensor,
    classes: int,
    labelled: Tensor,
    out: Path,
    identity: dict[str, Any],
    *,
    seed: int,
    settings: ReadingSettings,
) -> None:
    """Trains what reads the states, in place; a result of the same identity that `out` holds is taken instead.

    Args:
        encoder: Whose GRU and projection learn.
        versions: States of the texts with errors and without; a version is drawn for each utterance at each time.
        targets: The class of each text, int64 [n]; negative: not to be learned from.
        classes: How many there are.
        labelled: Which have one of the classes that count, bool [n].
        out: Where the result goes.
        identity: What it depends on besides the settings and the seed, as JSON holds it.
        seed: Equal seeds give equal results on one machine.
        settings: How.
    """
    identity = {**identity, "reading": vars(settings), "seed": seed}
    if (out / READER).is_file():
        tensors, description = load_checkpoint(out / READER)
        if description.get("identity") == identity:
            encoder.load_state_dict(tensors, strict=False)
            encoder.eval()
            return
    torch.manual_seed(seed)
    reader = _Reader(encoder, classes, settings)
    usable = torch.nonzero(targets >= 0)[:, 0]
    shares = torch.bincount(targets[usable], minlength=classes).clamp(min=1) / len(usable)
    weights = torch.where(labelled, 1.0, settings.unlabelled)
    loss = nn.CrossEntropyLoss(
        shares**-settings.class_weights, label_smoothing=settings.smoothing, reduction="none"
    )

    def loss_of(places: list[int]) -> Tensor:
        states, lengths = _drawn(versions, places)
        each = loss(reader(states, lengths), targets[places]) * weights[places]
        mean: Tensor = each.mean()
        return mean

    fit(
        reader,
        usable.tolist(),
        loss_of,
        settings,
        kept=out / f"{READER}.progress",
        identity=identity,
        seed=seed,
        title="text",
    )
    encoder.eval()
    tensors = {k: v for k, v in encoder.state_dict().items() if not k.startswith("bert.")}
    save_checkpoint(out / READER, tensors, {"identity": identity})


def load_reader(encoder: TextEncoder, folder: Path) -> None:
    """Puts the result of `train_reader` into an encoder."""
    encoder.load_state_dict(load_checkpoint(folder / READER)[0], strict=False)


@torch.inference_mode()
def embed_states(
    encoder: TextEncoder, states: States, places: Sequence[int], *, batch: int = 64
) -> Tensor:
    """The embeddings of some texts [n, embedding]; the encoder must be in evaluation mode."""
    starts = range(0, len(places), batch)
    parts = [_embed(encoder, *states.of(places[start : start + batch])) for start in starts]
    return torch.cat(parts)


class _Reader(nn.Module):
    """What learns. The encoder below it is in a tuple, and so not a part of this."""

    def __init__(self, encoder: TextEncoder, classes: int, settings: ReadingSettings) -> None:
        super().__init__()
        self._encoder = (encoder,)
        self.gru, self.projection, self.between = encoder.gru, encoder.projection, encoder.dropout
        self.before = nn.Dropout(settings.input_dropout)
        self.head = nn.Sequential(
            nn.Dropout(settings.dropout), nn.Linear(encoder.config.embedding, classes)
        )

    def forward(self, states: Tensor, lengths: Tensor) -> Tensor:
        logits: Tensor = self.head(_embed(self._encoder[0], self.before(states), lengths))
        return logits


def _embed(encoder: TextEncoder, states: Tensor, lengths: Tensor) -> Tensor:
    """What `TextEncoder.forward` does after its BERT."""
    _, ends = encoder.gru(states, lengths)
    out: Tensor = encoder.projection(encoder.dropout(ends.flatten(1)))
    return out


def _drawn(versions: Sequence[States], places: Sequence[int]) -> tuple[Tensor, Tensor]:
    """States of some texts, of each in one of its versions."""
    chosen = torch.randint(len(versions), (len(places),)).tolist()
    rows = [versions[v].of([place])[0][0] for v, place in zip(chosen, places, strict=True)]
    return pad_sequence(rows, batch_first=True), torch.tensor([len(row) for row in rows])

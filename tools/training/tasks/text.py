"""The text stage: the text encoder learns emotions from single utterances of any data set.

It starts from MiniLM; its word embeddings and lowest layers stay as they are. Recogniser-like noise is applied again
each time an utterance is drawn, so that a transcript with errors looks familiar.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from streamer.errors import UserError
from streamer_models.encoders.bert_gru import BertGru, BertGruConfig
from streamer_models.tokenizer import TextTokenizer
from tools.progress import progress
from tools.training.checkpoint import load_checkpoint, save_checkpoint
from tools.training.loop import Loop, triangle
from tools.training.precision import reduced_precision
from tools.training.resume import Unfinished, require_same
from tools.training.tasks.minilm import pretrained_text_encoder, pretrained_tokenizer
from tools.training.tasks.text_noise import RecogniserNoise

CHECKPOINT = "text.safetensors"
_PROGRESS = "text.progress.safetensors"

Start: TypeAlias = tuple[BertGru, TextTokenizer]
"""What a training begins with."""

TextBatch: TypeAlias = tuple[Tensor, Tensor, Tensor]
"""Token ids [B, T], their mask [B, T], the classes [B]."""


@dataclass(frozen=True)
class LabelledTexts:
    """Utterances to learn from.

    Attributes:
        texts: n utterances.
        targets: Their classes, int64 [n].
        weights: How often each is drawn, relative to the others, float64 [n].
    """

    texts: Sequence[str]
    targets: NDArray[np.int64]
    weights: NDArray[np.float64]

    def __post_init__(self) -> None:
        if not len(self.texts) == len(self.targets) == len(self.weights) > 0:
            raise ValueError("texts, targets and weights must be as many, and one at least")
        if self.weights.min() < 0 or self.weights.sum() <= 0:
            raise ValueError("weights must not be negative, nor all zero")


@dataclass(frozen=True)
class TextSettings:
    """All that could be chosen otherwise; the defaults are those of the shipped bundle.

    Attributes:
        epochs: Each draws `utterances` utterances by their weights.
        utterances: None: as many as there are.
        tokens: In a batch, padding counted.
        frozen_layers: Lowest layers of the encoder that stay as they are, as the word embeddings do.
        learning_rate: Of the encoder's highest layer.
        decay: Each layer learns slower than the one above it by this factor.
        head_rate: Learning rate of the GRU, the projection and the classifier.
        noisy: The share of draws with recogniser-like noise.
        worst: Noise has a word error rate of up to this.
    """

    epochs: int = 2
    utterances: int | None = 24_000
    tokens: int = 512
    frozen_layers: int = 1
    learning_rate: float = 1e-4
    decay: float = 0.85
    head_rate: float = 1e-3
    weight_decay: float = 0.01
    smoothing: float = 0.1
    noisy: float = 0.4
    worst: float = 0.5


def train_text(
    data: LabelledTexts,
    labels: Sequence[str],
    out: Path,
    *,
    seed: int = 0,
    resume: bool = False,
    settings: TextSettings | None = None,
    noise: RecogniserNoise | None = None,
    start: Start | None = None,
) -> tuple[BertGru, nn.Linear]:
    """Train the text encoder and a classifier, and write `CHECKPOINT` to `out`.

    Args:
        data: The utterances to learn from.
        labels: Names of the classes that `data.targets` number.
        out: Where the result goes; progress is kept there too.
        seed: Equal seeds give equal results on one machine.
        resume: Takes the result that is there, or goes on where an interrupted run stopped.
        settings: By default those of the shipped bundle.
        noise: Recogniser-like noise; None: none.
        start: Encoder and tokenizer to begin with; None: MiniLM's.

    Returns:
        The encoder and its classifier, embedding [B, 100] -> logits [B, len(labels)], in evaluation mode.

    Raises:
        UserError: What is there to resume belongs to another run, or is damaged.
    """
    settings = settings or TextSettings()
    torch.manual_seed(seed)
    encoder, tokenizer = start or (
        pretrained_text_encoder(),
        pretrained_tokenizer(BertGruConfig().max_tokens),
    )
    head = nn.Linear(encoder.config.embedding, len(labels))
    identity = {"seed": seed, "settings": asdict(settings), "texts": _digest(data, labels)}
    if resume and (out / CHECKPOINT).is_file():
        require_same(out / CHECKPOINT, load_checkpoint(out / CHECKPOINT)[1], identity)
        encoder, head, _ = load_text_stage(out)
        return encoder, head
    optimizer = _optimizer(encoder, head, settings)
    networks = {"encoder": encoder, "head": head}
    unfinished = Unfinished(out / _PROGRESS, networks, optimizer)
    draws = _Draws(data, tokenizer, settings, noise)

    def batches(epoch: int) -> tuple[int, list[TextBatch]]:
        drawn = draws.epoch(seed, epoch)
        return len(drawn), drawn

    def loss(batch: TextBatch) -> Tensor:
        ids, mask, targets = batch
        with reduced_precision():
            embedding = encoder(ids, mask)
        return functional.cross_entropy(
            head(embedding.float()), targets, label_smoothing=settings.smoothing
        )

    loop = Loop(networks, optimizer, loss, triangle, clip=1.0, title="text", seed=seed)
    begin = unfinished.take_up(identity) if resume else 0
    loop.run(settings.epochs, batches, unfinished=unfinished, identity=identity, begin=begin)
    tensors = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    tensors |= {f"head.{name}": tensor for name, tensor in head.state_dict().items()}
    description = {
        "labels": list(labels),
        "encoder": encoder.config.model_dump(mode="json"),
        "tokenizer": tokenizer.definition,
        "identity": identity,
    }
    save_checkpoint(out / CHECKPOINT, tensors, description)
    unfinished.forget()
    return encoder.eval(), head.eval()


def load_text_stage(folder: Path) -> tuple[BertGru, nn.Linear, TextTokenizer]:
    """Return the result of the text stage, in evaluation mode.

    Args:
        folder: What the stage was given as `out`.

    Raises:
        UserError: The stage has not been trained, or the file is damaged.
    """
    tensors, description = load_checkpoint(folder / CHECKPOINT)
    try:
        config = BertGruConfig.model_validate(description["encoder"])
        encoder = BertGru(config)
        head = nn.Linear(config.embedding, len(description["labels"]))
        for module, prefix in ((encoder, "encoder."), (head, "head.")):
            module.load_state_dict(
                {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
            )
        tokenizer = TextTokenizer(description["tokenizer"], config.max_tokens)
    except (KeyError, ValueError, RuntimeError) as error:
        raise UserError(
            f"{folder / CHECKPOINT}: not a text stage; train that stage again"
        ) from error
    return encoder.eval(), head.eval(), tokenizer


@torch.no_grad()
def embed_texts(
    encoder: BertGru, tokenizer: TextTokenizer, texts: Sequence[str], *, batch: int = 64
) -> Tensor:
    """Return the embeddings of texts, float32 [n, embedding]; the encoder must be in evaluation mode."""
    rows = torch.zeros(len(texts), encoder.config.embedding)
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    starts = range(0, len(order), batch)
    for first in progress(starts, f"Embedding {len(texts)} texts"):
        places = order[first : first + batch]
        rows[places] = encoder(*tokenizer([texts[i] for i in places])).float()
    return rows


class _Draws:
    """The batches of each epoch: equal for equal seed and epoch."""

    def __init__(
        self,
        data: LabelledTexts,
        tokenizer: TextTokenizer,
        settings: TextSettings,
        noise: RecogniserNoise | None,
    ) -> None:
        self.data, self.tokenizer, self.settings, self.noise = data, tokenizer, settings, noise

    def epoch(self, seed: int, epoch: int) -> list[TextBatch]:
        """Return the batches of an epoch; the texts of each are of similar length."""
        rng = np.random.default_rng((seed, epoch, 2))
        count = self.settings.utterances or len(self.data.texts)
        drawn = systematic_draw(self.data.weights, count, rng)
        texts = [self._text(self.data.texts[i], rng) for i in drawn]
        ids, mask = self.tokenizer(texts)
        lengths = mask.sum(1).numpy()
        order = np.argsort(lengths * rng.uniform(0.9, 1.1, size=count), kind="stable")
        batches = [torch.from_numpy(part) for part in self._split(order, lengths)]
        targets = torch.from_numpy(self.data.targets[drawn])
        longest = [int(lengths[part].max()) for part in batches]
        return [
            (ids[batches[i], : longest[i]], mask[batches[i], : longest[i]], targets[batches[i]])
            for i in rng.permutation(len(batches))
        ]

    def _text(self, text: str, rng: np.random.Generator) -> str:
        if self.noise is None or rng.random() >= self.settings.noisy:
            return text
        return self.noise(text, rng.uniform(0, self.settings.worst), rng)

    def _split(
        self, order: NDArray[np.int64], lengths: NDArray[np.int64]
    ) -> Iterator[NDArray[np.int64]]:
        start, longest = 0, 0
        for end, place in enumerate(order):
            longest = max(longest, int(lengths[place]))
            if end > start and (end - start + 1) * longest > self.settings.tokens:
                yield order[start:end]
                start, longest = end, int(lengths[place])
        yield order[start:]


def systematic_draw(
    weights: NDArray[np.float64], count: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Draw `count` places by weight, each as often as its share asks for, rounded up or down (systematic sampling)."""
    order = rng.permutation(len(weights))
    edges = np.cumsum(weights[order])
    points = (np.arange(count) + rng.random()) * (edges[-1] / count)
    return np.asarray(order[np.searchsorted(edges, points, side="right").clip(max=len(order) - 1)])


def _optimizer(encoder: BertGru, head: nn.Linear, settings: TextSettings) -> torch.optim.Optimizer:
    """Return AdamW with layer-wise learning rates; the lowest layers and the word embeddings are frozen."""
    bert = encoder.bert
    for parameter in bert.parameters():
        parameter.requires_grad_(False)
    groups: list[dict[str, Any]] = []
    for depth, layer in enumerate(reversed(bert.layers[settings.frozen_layers :])):
        rate = settings.learning_rate * settings.decay**depth
        for parameter in layer.parameters():
            parameter.requires_grad_(True)
        groups.append({"params": list(layer.parameters()), "peak": rate})
    new = [p for name, p in encoder.named_parameters() if not name.startswith("bert.")]
    groups.append({"params": [*new, *head.parameters()], "peak": settings.head_rate})
    return torch.optim.AdamW(groups, lr=0.0, weight_decay=settings.weight_decay)


def _digest(data: LabelledTexts, labels: Sequence[str]) -> str:
    """Return the SHA-256 of all that is learnt from."""
    digest = hashlib.sha256(json.dumps([list(labels), list(data.texts)]).encode())
    digest.update(data.targets.tobytes())
    digest.update(data.weights.tobytes())
    return digest.hexdigest()

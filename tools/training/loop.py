"""The optimisation loop of every training: epochs that can be interrupted and resumed with the same result."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Generic, TypeAlias, TypeVar

import torch
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn

from tools.training.resume import OtherRunError, Unfinished

Batch = TypeVar("Batch")

Epochs: TypeAlias = Callable[[int], tuple[int, Iterable[Batch]]]
"""Number of an epoch -> how many batches it has, and the batches, made while they are used."""

_WARM_UP = 0.1
"""Share of the steps over which `warm_cosine` and `triangle` rise to the peak learning rate."""


@dataclass(frozen=True)
class Loop(Generic[Batch]):
    """Minimise a loss, epoch by epoch.

    Attributes:
        networks: All modules that learn, by names without a dot; put into training mode each epoch.
        optimizer: Each parameter group has its highest learning rate under the key `peak`.
        loss: Mean loss of a batch, a scalar tensor.
        factor: Factor of `peak` after a share (0 to 1) of all steps.
        clip: Largest norm of the gradients.
        title: Of the progress bar and of the line printed after each epoch.
        seed: Torch is seeded from it and the number of the epoch; None: torch's generator just runs on.
        after_step: Called with the number of steps done.
        after_epoch: Called with the number of epochs done; returns text for the line, such as a development score.
    """

    networks: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer
    loss: Callable[[Batch], Tensor]
    factor: Callable[[float], float]
    clip: float
    title: str
    seed: int | None = None
    after_step: Callable[[int], None] = lambda _: None
    after_epoch: Callable[[int], str] = lambda _: ""

    def run(
        self,
        epochs: int,
        batches: Epochs[Batch],
        *,
        unfinished: Unfinished | None = None,
        identity: Mapping[str, Any] | None = None,
        begin: int = 0,
    ) -> None:
        """Train from epoch `begin` to the last; the state after each epoch is kept until the caller removes it.

        Args:
            epochs: Number of epochs in all.
            batches: The batches of an epoch, equal for an equal number of the epoch.
            unfinished: Where the state is kept; None: nowhere.
            identity: All that the result depends on, kept beside the state.
            begin: Epochs that are done already (`Unfinished.take_up`).
        """
        console = Console(stderr=True)
        with Progress(console=console, disable=not console.is_terminal) as progress:
            bar = progress.add_task(self.title, total=epochs, completed=begin)
            for epoch in range(begin, epochs):
                loss = self._epoch(epoch, epochs, batches, partial(progress.update, bar))
                if unfinished is not None:
                    unfinished.keep(epoch + 1, identity or {})
                line = f"{self.title}, epoch {epoch + 1}/{epochs}: loss {loss:.3f}"
                if score := self.after_epoch(epoch + 1):
                    line += f", {score}"
                progress.console.print(line, highlight=False, markup=False)

    def _epoch(
        self, epoch: int, epochs: int, batches: Epochs[Batch], show: Callable[..., None]
    ) -> float:
        """Pass over the batches once; return their mean loss."""
        if self.seed is not None:
            torch.manual_seed(self.seed * 100_003 + epoch)
        for network in self.networks.values():
            network.train()
        groups = self.optimizer.param_groups
        parameters = [parameter for group in groups for parameter in group["params"]]
        summed = 0.0
        count, drawn = batches(epoch)
        for index, batch in enumerate(drawn):
            done = (epoch * count + index) / (epochs * count)
            for group in groups:
                group["lr"] = group["peak"] * self.factor(done)
            loss = self.loss(batch)
            self.optimizer.zero_grad()
            torch.autograd.backward(loss)
            nn.utils.clip_grad_norm_(parameters, self.clip)
            self.optimizer.step()
            self.after_step(epoch * count + index + 1)
            summed += loss.item()
            show(completed=epoch + (index + 1) / count)
        return summed / max(1, count)


@dataclass(frozen=True)
class StagePace:
    """How fast and how long a plain training learns.

    Attributes:
        epochs: Passes over all examples.
        batch: Examples in a step.
        learning_rate: The highest.
        weight_decay: Of AdamW.
    """

    epochs: int = 5
    batch: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 1e-2


def adamw(network: nn.Module, pace: StagePace) -> torch.optim.Optimizer:
    """Return AdamW over all parameters of a network, as one group."""
    group = {"params": list(network.parameters()), "peak": pace.learning_rate}
    return torch.optim.AdamW([group], pace.learning_rate, weight_decay=pace.weight_decay)


def fit(
    network: nn.Module,
    examples: Sequence[int],
    loss: Callable[[list[int]], Tensor],
    pace: StagePace,
    *,
    kept: Path,
    identity: Mapping[str, Any],
    seed: int,
    title: str,
) -> None:
    """Train a network on shuffled examples; an interrupted run of the same identity is resumed.

    Args:
        network: All that learns; left in training mode.
        examples: Shuffled and cut into batches each epoch.
        loss: Mean loss of a batch of examples.
        pace: Epochs, batch size, learning rate, weight decay.
        kept: File of the state after each epoch; removed at the end.
        identity: All that the result depends on; a state of another identity is replaced.
        seed: Of everything random.
        title: Of the progress bar.
    """
    optimizer = adamw(network, pace)
    unfinished = Unfinished(kept, {"network": network}, optimizer)
    begin = 0
    with suppress(OtherRunError):
        begin = unfinished.take_up(identity)
    Loop({"network": network}, optimizer, loss, warm_cosine, clip=5.0, title=title, seed=seed).run(
        pace.epochs,
        shuffled(examples, pace.batch),
        unfinished=unfinished,
        identity=identity,
        begin=begin,
    )
    unfinished.forget()


def shuffled(examples: Sequence[int], batch: int) -> Epochs[list[int]]:
    """Return epochs of all examples once each, in an order drawn by torch's generator."""

    def epoch(_: int) -> tuple[int, Iterator[list[int]]]:
        order = [examples[place] for place in torch.randperm(len(examples)).tolist()]
        starts = range(0, len(order), batch)
        return len(starts), (order[start : start + batch] for start in starts)

    return epoch


def warm_cosine(done: float) -> float:
    """Return a linear rise, then half a cosine down to 0."""
    if done < _WARM_UP:
        return (done + 0.005) / (_WARM_UP + 0.005)
    return 0.5 * (1 + math.cos(math.pi * (done - _WARM_UP) / (1 - _WARM_UP)))


def triangle(done: float) -> float:
    """Return a linear rise, then a linear fall to 0."""
    return min(done / _WARM_UP + 0.01, (1 - done) / (1 - _WARM_UP))

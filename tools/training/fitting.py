"""A training loop that can be killed and goes on with the next epoch, to the same result."""

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.progress import Progress
from torch import Tensor, nn

from tools.training.resuming import OtherRunError, Unfinished


class Pace(Protocol):
    """How fast and how long is learned."""

    @property
    def epochs(self) -> int:
        """Times that each example is seen."""
        ...

    @property
    def batch(self) -> int:
        """Examples in a step."""
        ...

    @property
    def learning_rate(self) -> float:
        """At its highest."""
        ...

    @property
    def weight_decay(self) -> float:
        """Of AdamW."""
        ...


def fit(
    network: nn.Module,
    examples: Sequence[int],
    loss_of: Callable[[list[int]], Tensor],
    pace: Pace,
    *,
    kept: Path,
    identity: dict[str, Any],
    seed: int,
    title: str,
) -> None:
    """Minimises a loss with AdamW: a tenth of the steps warming up, then half a cosine; gradients clipped to norm 5.

    Args:
        network: All that learns; left in training mode.
        examples: What is shuffled and cut into batches.
        loss_of: The mean loss of a batch.
        pace: How fast and how long.
        kept: Where the state after each epoch is kept until the last one.
        identity: What the result depends on, as JSON holds it; a state of another identity is not taken up.
        seed: Of everything random.
        title: Of the progress bar.
    """
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=pace.weight_decay)
    each = math.ceil(len(examples) / pace.batch)
    unfinished = Unfinished(kept, {"network": network}, optimizer)
    begun = 0
    with suppress(OtherRunError):
        begun = unfinished.take_up(identity)
    network.train()
    with Progress() as progress:
        bar = progress.add_task(title, total=pace.epochs * each, completed=begun * each)
        for epoch in range(begun, pace.epochs):
            torch.manual_seed(seed * 100_003 + epoch)
            order = [examples[place] for place in torch.randperm(len(examples)).tolist()]
            summed = 0.0
            for step in range(each):
                done = (epoch * each + step) / (pace.epochs * each)
                for group in optimizer.param_groups:
                    group["lr"] = pace.learning_rate * factor(done)
                loss = loss_of(order[step * pace.batch : (step + 1) * pace.batch])
                optimizer.zero_grad()
                torch.autograd.backward(loss)
                nn.utils.clip_grad_norm_(network.parameters(), 5.0)
                optimizer.step()
                summed += loss.item()
                progress.advance(bar)
            progress.update(bar, description=f"{title}, loss {summed / each:.3f}")
            unfinished.keep(epoch + 1, identity)
    unfinished.forget()


def factor(done: float) -> float:
    """The learning rate's factor after a share of the steps."""
    warm_up = 0.1
    if done < warm_up:
        return (done + 0.005) / (warm_up + 0.005)
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))

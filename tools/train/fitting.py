"""A training loop that can be killed and goes on with the next epoch, to the same result."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from rich.progress import Progress
from torch import Tensor, nn

from tools.train.checkpoint import load_checkpoint, save_checkpoint


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
    begun = _restore(kept, identity, network, optimizer)
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
            _keep(kept, identity, epoch + 1, network, optimizer)
    kept.unlink(missing_ok=True)


def factor(done: float) -> float:
    """The learning rate's factor after a share of the steps."""
    warm_up = 0.1
    if done < warm_up:
        return (done + 0.005) / (warm_up + 0.005)
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))


def _keep(
    path: Path,
    identity: dict[str, Any],
    epoch: int,
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    tensors = {f"network.{name}": value for name, value in network.state_dict().items()}
    for place, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{place}.{name}": value for name, value in state.items()}
    save_checkpoint(path, tensors, {"epoch": epoch, "identity": identity})


def _restore(
    path: Path, identity: dict[str, Any], network: nn.Module, optimizer: torch.optim.Optimizer
) -> int:
    """Takes up what `_keep` wrote; gives the epochs that are done."""
    if not path.is_file():
        return 0
    tensors, description = load_checkpoint(path)
    if description.get("identity") != identity:
        return 0
    network.load_state_dict(
        {n.removeprefix("network."): t for n, t in tensors.items() if n.startswith("network.")}
    )
    whole = optimizer.state_dict()
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, place, key = name.split(".")
            whole["state"].setdefault(int(place), {})[key] = tensor
    optimizer.load_state_dict(whole)
    return int(description["epoch"])

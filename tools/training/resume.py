"""A training between two epochs, on disk: what was interrupted goes on from there, to the same result."""

import json
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from streamer.errors import UserError
from tools.training.checkpoint import load_checkpoint, save_checkpoint

_OPTIMIZER = "optimizer"


class OtherRunError(UserError):
    """What was kept belongs to a training with other settings, seed or data."""

    def __init__(self, path: Path) -> None:
        super().__init__(
            f"{path}: of a run with other settings, seed or data; train without --resume"
        )


@dataclass(frozen=True)
class Unfinished:
    """Where a training keeps its state, and what that state is.

    Attributes:
        path: The file.
        networks: By names without a dot.
        optimizer: Of all of them.
    """

    path: Path
    networks: Mapping[str, nn.Module]
    optimizer: torch.optim.Optimizer

    def keep(self, epoch: int, identity: Mapping[str, Any]) -> None:
        """Write all that the next epoch depends on.

        Args:
            epoch: How many are done.
            identity: What the training's result depends on.
        """
        tensors = {
            f"{part}.{name}": tensor
            for part, network in self.networks.items()
            for name, tensor in network.state_dict().items()
        }
        for place, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"{_OPTIMIZER}.{place}.{name}": value for name, value in state.items()}
        save_checkpoint(self.path, tensors, {"epoch": epoch, "identity": identity})

    def take_up(self, identity: Mapping[str, Any]) -> int:
        """Put what `keep` wrote in its place; return the epochs that are done, 0 if nothing was kept.

        Raises:
            OtherRunError: It belongs to a training with another identity.
            UserError: It is damaged.
        """
        if not self.path.is_file():
            return 0
        tensors, description = load_checkpoint(self.path)
        require_same(self.path, description, identity)
        parts: defaultdict[str, dict[str, Tensor]] = defaultdict(dict)
        for name, tensor in tensors.items():
            part, rest = name.split(".", 1)
            parts[part][rest] = tensor
        for name, network in self.networks.items():
            network.load_state_dict(parts[name])
        whole = self.optimizer.state_dict()
        for name, tensor in parts[_OPTIMIZER].items():
            place, key = name.split(".")
            whole["state"].setdefault(int(place), {})[key] = tensor
        self.optimizer.load_state_dict(whole)
        return int(description["epoch"])

    def forget(self) -> None:
        """Remove the file: the training is finished."""
        self.path.unlink(missing_ok=True)


def require_same(path: Path, description: Mapping[str, Any], identity: Mapping[str, Any]) -> None:
    """Make sure that what `load_checkpoint` described has this identity.

    Raises:
        OtherRunError: It has another.
    """
    if description.get("identity") != json.loads(json.dumps(identity)):
        raise OtherRunError(path)


def finished(
    path: Path, identity: Mapping[str, Any], make: Callable[[], Mapping[str, Tensor]]
) -> dict[str, Tensor]:
    """Return what a part of a recipe has given: from disk where it was finished with this identity, else made and kept.

    Args:
        path: The file.
        identity: All that the result depends on; a result of another identity is replaced.
        make: Does the work.
    """
    if path.is_file():
        tensors, description = load_checkpoint(path)
        if description.get("identity") == json.loads(json.dumps(identity)):
            return tensors
    made = dict(make())
    save_checkpoint(path, made, {"identity": identity})
    return made

"""Chopra et al., "Meta-learning for low-resource speech emotion recognition" (ICASSP 2021).

A small network over cepstra, LSTM 128, LSTM 128, dense 128, dense classes, whose beginning is learnt by first-order
MAML over languages: an inner step on a few examples of a language, an outer step by the gradients after it.

Deviations: none in network and loops; cepstra are those of this package (20 of 30 ms frames). The paper's code measures
weighted F1 where the paper says macro; `tools` reports unweighted accuracy, as everywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.func import functional_call

from streamer_models.config import AudioConfig, TextConfig, Width
from streamer_models.encoders.mel_frames import MelFramesConfig
from streamer_models.layers.recurrent import last_real
from streamer_models.sequences import Utterances
from streamer_models.zoo.base import UtteranceConfig, UtteranceSystem

Parameters = dict[str, Tensor]


class Chopra2021Config(UtteranceConfig):
    """Sizes; the defaults are the paper's."""

    audio: AudioConfig | None = MelFramesConfig(embedding=20, cepstra=True)
    text: TextConfig | None = None
    hidden: Width = 128


class Chopra2021(UtteranceSystem):
    """Two LSTMs and a linear layer over cepstra."""

    name: ClassVar = "chopra2021"
    config_class: ClassVar = Chopra2021Config

    def __init__(self, config: Chopra2021Config) -> None:
        super().__init__(config)
        self.lstm = nn.LSTM(config.sizes[0], config.hidden, num_layers=2, batch_first=True)
        self.dense = nn.Linear(config.hidden, config.hidden)
        self.add_heads(config.hidden)

    def fused(self, batch: Utterances) -> Tensor:
        """Return the dense layer over the last state, [B, hidden]."""
        states, _ = self.lstm(batch.audio.values)
        last = last_real(states, batch.audio.mask.sum(1).clamp(min=1))
        out: Tensor = self.dense(last * batch.audio.present[:, None])
        return out


Loss = Callable[[Callable[..., object]], Tensor]
"""A function that computes a mean loss by calling a network that it is given."""


def adapt(
    network: nn.Module,
    loss: Loss,
    *,
    steps: int,
    rate: float,
    only: tuple[str, ...] | None = None,
) -> Parameters:
    """Return the inner loop: parameters after some steps of gradient descent on a task, without a graph between steps.

    Args:
        network: Its own parameters stay.
        loss: Of the task's support examples.
        steps: 1 in training, 5 in evaluation.
        rate: Of a step (the paper's: 2e-4).
        only: Beginnings of the names of the parameters that change; None: all.
    """
    parameters = {name: p.detach().clone() for name, p in network.named_parameters()}
    names = [name for name in parameters if only is None or name.startswith(only)]
    for _ in range(steps):
        gradients = _gradients(network, parameters, loss, names)
        parameters |= {name: parameters[name] - rate * gradients[name] for name in names}
    return parameters


def outer_gradients(
    network: nn.Module, tasks: Sequence[tuple[Loss, Loss]], *, steps: int, rate: float
) -> Mapping[str, Tensor]:
    """Return the first-order outer gradient: the mean over tasks of the query loss's, at the adapted parameters.

    Args:
        network: At its own parameters the inner loops begin.
        tasks: Of each, the loss of its support and of its query examples.
        steps: Of the inner loop.
        rate: Of its steps.
    """
    total = {name: torch.zeros_like(p) for name, p in network.named_parameters()}
    for support, query in tasks:
        adapted = adapt(network, support, steps=steps, rate=rate)
        for name, gradient in _gradients(network, adapted, query, list(adapted)).items():
            total[name] += gradient / len(tasks)
    return total


def outer_step(
    network: nn.Module,
    tasks: Sequence[tuple[Loss, Loss]],
    optimizer: torch.optim.Optimizer,
    *,
    steps: int = 1,
    rate: float = 2e-4,
) -> None:
    """Take one step of the outer loop with an optimizer over the network's own parameters."""
    gradients = outer_gradients(network, tasks, steps=steps, rate=rate)
    for name, parameter in network.named_parameters():
        parameter.grad = gradients[name]
    optimizer.step()


def _gradients(
    network: nn.Module, parameters: Parameters, loss: Loss, names: Sequence[str]
) -> Parameters:
    """Return the gradients of the named parameters; layers below them are not walked back through."""
    free = {name: parameters[name].detach().requires_grad_() for name in names}
    at = parameters | free

    def call(*arguments: object) -> object:
        return functional_call(network, at, arguments)

    value = loss(call)
    found = torch.autograd.grad(value, list(free.values()), allow_unused=True)
    return {
        name: torch.zeros_like(p) if gradient is None else gradient
        for (name, p), gradient in zip(free.items(), found, strict=True)
    }

"""Networks before they have weights: their parameters have shapes, and nothing else."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode


def built(
    make: Callable[[], nn.Module], read: Callable[[dict[str, Tensor]], dict[str, Tensor]]
) -> nn.Module:
    """Return a network with given weights, built without memory or random numbers of its own.

    A network that holds more than its state dict, such as constants that are computed as it is built, is built a
    second time with memory, once its weights are known to fit.

    Args:
        make: Builds the network.
        read: The weights that fit names, shapes and types; a ValueError if there are none.
    """
    with shapes_only():
        network = make()
    state = read(network.state_dict())
    network.load_state_dict(state, assign=True)
    if any(tensor.is_meta for tensor in chain(network.parameters(), network.buffers())):
        with _Uninitialised():
            network = make()
        network.load_state_dict(state, assign=True)
    return network


@contextmanager
def shapes_only() -> Iterator[None]:
    """Make modules in this context without memory or initial values.

    To draw random numbers without memory, torch would import its compiler first, which takes longer than all else that
    is done to load a model. So modules must begin with the functions of `nn.init`, which do nothing here.
    """
    with torch.device("meta"), _Uninitialised():
        yield


class _Uninitialised(TorchFunctionMode):
    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        values = kwargs or {}
        if getattr(func, "__module__", None) == nn.init.__name__:
            return values["tensor"] if "tensor" in values else args[0]
        return func(*args, **values)

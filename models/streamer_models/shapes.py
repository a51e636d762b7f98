"""Networks before they have weights: their parameters have shapes, and nothing else."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode


@contextmanager
def shapes_only() -> Iterator[None]:
    """What modules are made in it take no memory and are not initialised.

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

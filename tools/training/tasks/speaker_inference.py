"""CAM++ in the form that is exported: the same sums in fewer and larger products, for one window.

Norms are folded into the weights beside them. Where a norm and a ReLU come before a product, `relu(a x + b)` is `a`
times `x` bounded at `-b / a`, and `b`: only the bound is left to compute. Blocks have time first, so that weights are
the constant side of a product, which onnxruntime lays out once, and a convolution over time is one product whose parts
are added with a shift.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

from tools.training.tasks.speaker_network import BLOCKS, GROWTH, SpeakerNetwork

_UNBOUNDED = 3e38
_LEAST_SLOPE = 1e-9
_EPSILON = nn.BatchNorm1d(1).eps

_Form = Callable[[Tensor], Tensor]


class SpeakerInference(nn.Module):
    """Mel frames [1, F, 80], their mean taken away, F <= 200, to a voice [1, 192].

    Args:
        network: With the weights, in evaluation.
    """

    def __init__(self, network: SpeakerNetwork) -> None:
        super().__init__()
        parts = network.xvector.get_submodule
        self.head, self.tdnn = network.head, parts("tdnn")
        self._steps: list[tuple[list[_Form], _Form]] = []
        for number, (_, dilation) in enumerate(BLOCKS, 1):
            layers = [_layer(layer, dilation) for layer in parts(f"block{number}").children()]
            transit = parts(f"transit{number}")
            last = parts("out_nonlinear.batchnorm") if number == len(BLOCKS) else None
            folded = _after(_norm(transit), _weight(transit.get_submodule("linear")), last)
            self._steps.append((layers, folded))
        scale, shift = _line(parts("dense.nonlinear.batchnorm"))
        self._dense = _weight(parts("dense.linear")) * scale[:, None], shift

    def forward(self, frames: Tensor) -> Tensor:
        """Embed one window."""
        hidden: Tensor = self.tdnn(self.head(frames.transpose(1, 2)[:, None]))[0].T
        for layers, transit in self._steps:
            for layer in layers:
                hidden = torch.cat([hidden, layer(hidden)], dim=1)
            hidden = transit(hidden)
        hidden = torch.relu(hidden)
        mean = hidden.mean(dim=0, keepdim=True)
        variance = (hidden - mean).square().sum(dim=0, keepdim=True) / (hidden.shape[0] - 1)
        return linear(torch.cat([mean, variance.sqrt()], dim=1), *self._dense)


def _layer(layer: nn.Module, dilation: int) -> _Form:
    """Return a densely connected layer: [T, C] to [T, 32]."""
    parts = layer.get_submodule
    narrow = _after(
        _norm(layer, "nonlinear1"), _weight(parts("linear1")), _norm(layer, "nonlinear2")
    )
    masked = parts("cam_layer").get_submodule
    local = masked("linear_local").get_parameter("weight").detach().permute(2, 0, 1).flatten(0, 1)
    first, second = masked("linear1"), masked("linear2")
    narrower = 2 * _weight(first), first.get_parameter("bias").detach()
    wider = _weight(second), second.get_parameter("bias").detach()

    def forward(hidden: Tensor) -> Tensor:
        inner = torch.relu(narrow(hidden))
        context = torch.relu(linear(inner.mean(dim=0, keepdim=True), *narrower))
        before, here, after = torch.split(linear(inner, local), GROWTH, dim=1)
        later = pad(before, (0, 0, dilation, -dilation))
        earlier = pad(after, (0, 0, -dilation, dilation))
        result: Tensor = (later + here + earlier) * torch.sigmoid(linear(context, *wider))
        return result

    return forward


def _after(norm: nn.Module, weight: Tensor, then: nn.Module | None) -> _Form:
    """Return a norm, a ReLU, a product with a weight [out, in], and another norm, if any."""
    scale, shift = _line(norm)
    scale = torch.where(scale.abs() < _LEAST_SLOPE, _LEAST_SLOPE, scale)
    if then:
        later, bias = _line(then)
        weight = weight * later[:, None]
    else:
        bias = torch.zeros(len(weight))
    low = torch.where(scale > 0, -shift / scale, -_UNBOUNDED)
    high = torch.where(scale < 0, -shift / scale, _UNBOUNDED)
    falling = bool((scale < 0).any())
    folded = weight * scale, bias + weight @ shift

    def forward(hidden: Tensor) -> Tensor:
        bounded = torch.maximum(hidden, low)
        return linear(torch.minimum(bounded, high) if falling else bounded, *folded)

    return forward


def _norm(module: nn.Module, name: str = "nonlinear") -> nn.Module:
    return module.get_submodule(f"{name}.batchnorm")


def _weight(convolution: nn.Module) -> Tensor:
    return convolution.get_parameter("weight").detach()[:, :, 0]


def _line(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return what a norm in evaluation multiplies by, and what it adds."""
    values = {**dict(norm.named_buffers()), **dict(norm.named_parameters())}
    scale = torch.rsqrt(values["running_var"] + _EPSILON)
    if "weight" in values:
        scale = scale * values["weight"].detach()
    shift = -values["running_mean"] * scale
    return scale, shift + values["bias"].detach() if "bias" in values else shift

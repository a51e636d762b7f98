"""The fast form of the sound network: each convolution with its norm is one product of matrices."""

from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.utils.fusion import fuse_conv_bn_eval

from streamer_models.bundle import read_shipped
from streamer_models.encoders.log_mel import mel_power
from streamer_models.shapes import built
from streamer_models.sound_network import (
    BANDS,
    CLASSES,
    DELAY,
    FLOOR,
    SOUNDS,
    CausalConvolution,
    SoundNetwork,
)
from streamer_models.storage import unpack

_SHA256 = "0cda913a0789b2a45becb2f15344b6fdd27bcd8ecd6e771747392ed1f65678bb"

Samples = NDArray[np.float32]
Scores = NDArray[np.float32]
State = tuple[Tensor, ...]
"""For each convolution the inputs that its next output needs, [kept, channels]."""


class FastSoundNetwork:
    """`SoundNetwork` in evaluation, for one channel at a time; keeps no state.

    Args:
        network: Its weights are final.
    """

    delay = DELAY

    def __init__(self, network: SoundNetwork) -> None:
        with torch.no_grad():
            norm = network.scale
            assert norm.running_var is not None and norm.running_mean is not None  # noqa: S101, PT018 - it has been trained
            self._factor = norm.weight / (norm.running_var + norm.eps).sqrt()
            self._shift = norm.bias - norm.running_mean * self._factor
            self._stem = [_Convolution.of(layer) for layer in network.stem]
            self._blocks = [_Convolution.of(layer) for layer in network.blocks]
            self._weight = network.scores.weight[: len(CLASSES), :, 0].T.contiguous()
            assert network.scores.bias is not None  # noqa: S101 - as it is made
            self._bias = network.scores.bias[: len(CLASSES)].clone()

    def begin(self) -> State:
        """Return the state before the first column: silence."""
        return tuple(torch.zeros(one.kept, one.inputs) for one in (*self._stem, *self._blocks))

    @torch.inference_mode()
    def score(self, samples: Samples, state: State) -> tuple[Scores, State]:
        """Score the next samples.

        Args:
            samples: float32 [240 + 640 n]: the last 240 of those before, then those that follow.
            state: After those before.

        Returns:
            Probabilities of the classes, float32 [n, classes], and the state.
        """
        power = torch.from_numpy(mel_power(samples, BANDS).T)
        x = torch.addcmul(self._shift, power.clamp(min=FLOOR).log10(), self._factor)
        after: list[Tensor] = []
        for layer, before in zip((*self._stem, *self._blocks), state, strict=True):
            joined = torch.cat((before, x))
            out = layer(joined)
            x = x + out if len(after) >= len(self._stem) else out
            after.append(joined[len(joined) - layer.kept :])
        scores: Scores = torch.addmm(self._bias, x, self._weight).sigmoid().numpy()
        return scores, tuple(after)


class _Convolution(NamedTuple):
    """A convolution over time and its norm in evaluation, then a rectifier."""

    weight: Tensor
    """[width * inputs, outputs]."""
    bias: Tensor
    inputs: int
    kept: int
    width: int
    stride: int
    dilation: int

    @classmethod
    def of(cls, layer: torch.nn.Module) -> "_Convolution":
        assert isinstance(layer, CausalConvolution)  # noqa: S101 - as it is made
        fused = fuse_conv_bn_eval(layer.convolution, layer.norm)
        assert fused.bias is not None  # noqa: S101 - that of the norm
        outputs, inputs, width = fused.weight.shape
        weight = fused.weight.permute(2, 1, 0).reshape(width * inputs, outputs).contiguous()
        stride, dilation = fused.stride[0], fused.dilation[0]
        return cls(weight, fused.bias.detach(), inputs, layer.kept, width, stride, dilation)

    def __call__(self, x: Tensor) -> Tensor:
        """[kept + T, inputs], contiguous -> [T / stride, outputs]."""
        steps = (len(x) - (self.width - 1) * self.dilation - 1) // self.stride + 1
        rows = x.as_strided(
            (steps, self.width, self.inputs),
            (self.stride * self.inputs, self.dilation * self.inputs, 1),
        )
        return torch.addmm(self.bias, rows.reshape(steps, -1), self.weight).relu_()


@cache
def load_sound_network() -> FastSoundNetwork:
    """Load the network that comes with the program, once for a process.

    Raises:
        BundleError: It is missing or damaged.
    """
    content = read_shipped(f"{SOUNDS.name}/weights.safetensors", _SHA256)
    network = built(SoundNetwork, lambda like: unpack([content], like))
    assert isinstance(network, SoundNetwork)  # noqa: S101 - built above
    return FastSoundNetwork(network.eval())

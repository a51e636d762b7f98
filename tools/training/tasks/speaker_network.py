"""CAM++ (Wang et al., Interspeech 2023) as a network to read weights into and to export, for up to 2 s of speech.

A residual convolutional head over mel frames, three blocks of densely connected layers over time, each layer masked by
what the whole window holds, then mean and deviation over time. Names of weights are those of the published checkpoint.
"""

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn

BANDS = 80
SIZE = 192
_CHANNELS = 32
GROWTH = 32
_BOTTLENECK = 128
_FIRST = 128
BLOCKS = ((12, 1), (24, 2), (16, 2))
"""Layers of each block, and the dilation of their kernels."""


class SpeakerNetwork(nn.Module):
    """Mel frames [B, F, 80], their mean taken away, F <= 200, to voices [B, 192]."""

    def __init__(self) -> None:
        super().__init__()
        self.head = _Head()
        parts: OrderedDict[str, nn.Module] = OrderedDict()
        parts["tdnn"] = _Convolution(_CHANNELS * BANDS // 8, _FIRST, kernel=5, stride=2)
        width = _FIRST
        for number, (layers, dilation) in enumerate(BLOCKS, 1):
            parts[f"block{number}"] = _DenseBlock(width, layers, dilation)
            width += layers * GROWTH
            parts[f"transit{number}"] = _Transit(width, width // 2)
            width //= 2
        parts["out_nonlinear"] = _normalised(width)
        parts["stats"] = _Statistics()
        parts["dense"] = _Dense(2 * width, SIZE)
        self.xvector = nn.Sequential(parts)

    def forward(self, frames: Tensor) -> Tensor:
        """Embed windows."""
        voices: Tensor = self.xvector(self.head(frames.transpose(1, 2)[:, None]))
        return voices


class _Head(nn.Module):
    """Frames as a picture [B, 1, 80, F]: an eighth of the bands, [B, 32 * 10, F]."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, _CHANNELS, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_CHANNELS)
        self.layer1 = nn.Sequential(_Residual(2), _Residual(1))
        self.layer2 = nn.Sequential(_Residual(2), _Residual(1))
        self.conv2 = nn.Conv2d(_CHANNELS, _CHANNELS, 3, stride=(2, 1), padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(_CHANNELS)

    def forward(self, picture: Tensor) -> Tensor:
        hidden = torch.relu(self.bn1(self.conv1(picture)))
        hidden = self.layer2(self.layer1(hidden))
        return torch.relu(self.bn2(self.conv2(hidden))).flatten(1, 2)


class _Residual(nn.Module):
    def __init__(self, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(_CHANNELS, _CHANNELS, 3, (stride, 1), padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(_CHANNELS)
        self.conv2 = nn.Conv2d(_CHANNELS, _CHANNELS, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(_CHANNELS)
        self.shortcut = nn.Sequential()
        if stride > 1:
            self.shortcut = nn.Sequential(
                nn.Conv2d(_CHANNELS, _CHANNELS, 1, (stride, 1), bias=False),
                nn.BatchNorm2d(_CHANNELS),
            )

    def forward(self, picture: Tensor) -> Tensor:
        hidden = torch.relu(self.bn1(self.conv1(picture)))
        return torch.relu(self.bn2(self.conv2(hidden)) + self.shortcut(picture))


def _normalised(width: int, *, active: bool = True) -> nn.Sequential:
    norm = nn.BatchNorm1d(width, affine=active)
    parts: OrderedDict[str, nn.Module] = OrderedDict(batchnorm=norm)
    if active:
        parts["relu"] = nn.ReLU()
    return nn.Sequential(parts)


class _Convolution(nn.Module):
    def __init__(self, width: int, out: int, *, kernel: int, stride: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(width, out, kernel, stride, kernel // 2, bias=False)
        self.nonlinear = _normalised(out)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.nonlinear(self.linear(hidden))
        return result


class _DenseBlock(nn.Module):
    def __init__(self, width: int, layers: int, dilation: int) -> None:
        super().__init__()
        widths = range(width, width + (layers + 1) * GROWTH, GROWTH)
        for number, (each, _) in enumerate(pairwise(widths), 1):
            self.add_module(f"tdnnd{number}", _DenseLayer(each, dilation))

    def forward(self, hidden: Tensor) -> Tensor:
        for layer in self.children():
            hidden = torch.cat([hidden, layer(hidden)], dim=1)
        return hidden


class _DenseLayer(nn.Module):
    def __init__(self, width: int, dilation: int) -> None:
        super().__init__()
        self.nonlinear1 = _normalised(width)
        self.linear1 = nn.Conv1d(width, _BOTTLENECK, 1, bias=False)
        self.nonlinear2 = _normalised(_BOTTLENECK)
        self.cam_layer = _MaskedConvolution(dilation)

    def forward(self, hidden: Tensor) -> Tensor:
        narrow = self.linear1(self.nonlinear1(hidden))
        result: Tensor = self.cam_layer(self.nonlinear2(narrow))
        return result


class _MaskedConvolution(nn.Module):
    """A convolution over time; the means of the window and of its segment, which is the window, weigh the channels."""

    def __init__(self, dilation: int) -> None:
        super().__init__()
        self.linear_local = nn.Conv1d(
            _BOTTLENECK, GROWTH, 3, padding=dilation, dilation=dilation, bias=False
        )
        self.linear1 = nn.Conv1d(_BOTTLENECK, _BOTTLENECK // 2, 1)
        self.linear2 = nn.Conv1d(_BOTTLENECK // 2, GROWTH, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        context = 2 * hidden.mean(dim=2, keepdim=True)
        mask = torch.sigmoid(self.linear2(torch.relu(self.linear1(context))))
        result: Tensor = self.linear_local(hidden) * mask
        return result


class _Transit(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.nonlinear = _normalised(width)
        self.linear = nn.Conv1d(width, out, 1, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        result: Tensor = self.linear(self.nonlinear(hidden))
        return result


class _Statistics(nn.Module):
    def forward(self, hidden: Tensor) -> Tensor:
        mean = hidden.mean(dim=2)
        variance = (hidden - mean[:, :, None]).square().sum(dim=2) / (hidden.shape[2] - 1)
        return torch.cat([mean, variance.sqrt()], dim=1)


class _Dense(nn.Module):
    def __init__(self, width: int, out: int) -> None:
        super().__init__()
        self.linear = nn.Conv1d(width, out, 1, bias=False)
        self.nonlinear = _normalised(out, active=False)

    def forward(self, statistics: Tensor) -> Tensor:
        result: Tensor = self.nonlinear(self.linear(statistics[:, :, None])[:, :, 0])
        return result

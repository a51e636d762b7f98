"""The fast form of the LEAF-CNN audio encoder: each stage continues where the last piece of an utterance ended."""

import torch
import torch.nn.functional as F  # noqa: N812 - torch's own name for it
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from streamer_models.encoders.leaf_cnn import ConvolutionalEncoder, LeafCnn
from streamer_models.fast.convolution import PackedConvolution
from streamer_models.layers.gabor_energies import pooled_energies
from streamer_models.layers.pcen import EPS, Pcen, decaying_powers


class FastLeafCnn:
    """The stages of `LeafCnn` in evaluation, for one utterance at a time.

    Args:
        encoder: Its weights are final.
    """

    def __init__(self, encoder: LeafCnn) -> None:
        self.config = encoder.config
        self.device = encoder.leaf.centre.device
        with torch.no_grad():
            self._plan = encoder.leaf.plan()
            self.compress = _Compression(encoder.leaf.pcen)
            self.columns = _Convolutions(encoder.cnn)

    def energies(self, wave: Tensor) -> Tensor:
        """Return LEAF's energies of the columns whose surroundings a wave holds whole.

        Args:
            wave: [T] with T > 2 * reach; the first column is centred on sample `reach`.

        Returns:
            [filters, (T - 2 * reach - 1) // hop + 1], floored.
        """
        pooled = pooled_energies(wave[None] * self.config.leaf.gain, self._plan)[0]
        return pooled.clamp_(min=self.config.leaf.floor)


class _Compression:
    """PCEN with all powers of its decay at hand."""

    _MOST = 64
    """Frames that are averaged at once."""

    def __init__(self, pcen: Pcen) -> None:
        smoothing = pcen.smoothing.clamp(0, 1)
        powers, within = decaying_powers(1 - smoothing, self._MOST)
        self._carried = powers[:, 1:]
        self._within = (within * smoothing[:, None, None]).mT.contiguous()
        self._minus_alpha = -pcen.alpha.clamp(max=1)[:, None]
        self._delta = pcen.delta.clamp(min=0)[:, None]
        self._power = 1 / pcen.root.clamp(min=1)[:, None]
        self._zero = self._delta.pow(self._power)

    def __call__(self, energies: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compress what follows.

        Args:
            energies: [N, F] with F >= 1.
            before: What the last call returned; None at the beginning.

        Returns:
            Compressed energies [N, F], and the average after the last of them [N].
        """
        mean = energies[:, 0] if before is None else before
        means = []
        for piece in torch.split(energies, self._MOST, dim=1):
            size = piece.shape[1]
            average = torch.bmm(piece[:, None], self._within[:, :size, :size])[:, 0]
            means.append(average.addcmul_(mean[:, None], self._carried[:, :size]))
            mean = means[-1][:, -1]
        gain = (torch.cat(means, dim=1) + EPS).log_().mul_(self._minus_alpha).exp_()
        return (energies * gain + self._delta).pow_(self._power) - self._zero, mean.clone()


State = tuple[Tensor, ...]
"""Each convolution's last two inputs; empty at the beginning."""


class _Convolutions:
    """`ConvolutionalEncoder`, its batch norms and rectifiers within its convolutions."""

    _FRAMES = 16
    """Frames that usually come together."""

    def __init__(self, cnn: ConvolutionalEncoder) -> None:
        modules = list(cnn.layers)
        self._layers: list[tuple[PackedConvolution, bool]] = []
        bands, frames = cnn.bands, self._FRAMES
        for place in range(len(modules)):
            match modules[place : place + 4]:
                case [nn.Conv2d() as convolution, nn.BatchNorm2d() as norm, _, after]:
                    packed = PackedConvolution(*_folded(convolution, norm), (bands, frames + 2))
                    is_pooled = isinstance(after, nn.AvgPool2d)
                    self._layers.append((packed, is_pooled))
                    bands -= 2
                    if is_pooled:
                        bands, frames = bands // 2, frames // 2

    def __call__(self, features: Tensor, state: State) -> tuple[Tensor, State]:
        """Return the columns that follow.

        Args:
            features: [bands, 36 + 8 k] at first, [bands, 8 k] afterwards.
            state: What the last call returned; at first empty.

        Returns:
            Columns [embedding, k + 1 or k], and the state for the next call.
        """
        maps = features[None, None]
        kept = []
        for index, (convolve, is_pooled) in enumerate(self._layers):
            if state:
                maps = torch.cat([state[index], maps], dim=-1)
            kept.append(maps[..., -2:].contiguous(memory_format=torch.channels_last))
            maps = convolve(maps)
            if is_pooled:
                maps = F.avg_pool2d(maps, 2)
        return maps[0].mean(dim=1), tuple(kept)


def _folded(convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> tuple[Tensor, Tensor]:
    """Return weight and bias of the convolution that does what both do in evaluation."""
    folded: nn.Conv2d = fuse_conv_bn_eval(convolution, norm)
    assert folded.bias is not None  # noqa: S101 - the norm's
    return folded.weight.detach(), folded.bias.detach()

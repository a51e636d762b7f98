"""Bidirectional GRUs side by side: all their directions advance in one product of matrices for each step."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from streamer_models.fast.linear import PackedLinear


@dataclass(frozen=True)
class _Layer:
    """One layer of K GRUs; their 2 K directions are those of the first, then those of the second, ..."""

    inputs: tuple[PackedLinear, ...]
    """Of each GRU: its input to both directions' gates, with all biases that are added outside of the recursion."""
    recurrent: Tensor
    """[2 K, hidden, 3 * hidden]: the state to reset gate, update gate and candidate."""
    candidate: Tensor
    """The candidate's bias inside of the recursion, [2 K, 1, hidden]."""


class SideBySideGrus:
    """K bidirectional GRUs of one shape, each with an input of its own.

    Args:
        grus: torch's, batch first.
    """

    def __init__(self, grus: Sequence[nn.GRU]) -> None:
        self._hidden = grus[0].hidden_size
        self._layers = [_layer(grus, index) for index in range(grus[0].num_layers)]

    def __call__(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Run over each row's real part.

        Args:
            x: [K, B, T, inputs].
            lengths: int64 [B], 1..T; those of all K.

        Returns:
            The outputs [K, B, T, 2, hidden] of the forward and the backward direction, of any finite value in the
            padding, and the state [K, B, 2, hidden] in which each direction ends.
        """
        turned = _Turned(lengths, x.shape[2])
        for layer in self._layers:
            states = self._run(layer, x, turned)
            forward, backward = states.view(len(states), -1, 2, *states.shape[2:]).permute(
                2, 1, 3, 0, 4
            )
            outputs = torch.stack([forward, turned(backward)], dim=3)
            x = outputs.flatten(3)
        ends = states[turned.last, :, turned.rows]
        return outputs, ends.view(len(ends), -1, 2, self._hidden).transpose(0, 1)

    def _run(self, layer: _Layer, x: Tensor, turned: "_Turned") -> Tensor:
        """Return states [T, 2 K, B, hidden] after each step of each direction, in its own order."""
        size = self._hidden
        gates = torch.cat(
            [
                linear(one).view(*one.shape[:2], 2, -1).movedim(2, 0)
                for linear, one in zip(layer.inputs, x, strict=True)
            ]
        )
        gates[1::2] = turned(gates[1::2])
        gates = gates.permute(2, 0, 1, 3).contiguous()
        # the candidate's share of the input enters after the reset gate; its place serves the recursion's
        candidates = gates[..., 2 * size :].contiguous()
        gates[..., 2 * size :] = layer.candidate
        states = gates.new_zeros(len(gates) + 1, *gates.shape[1:3], size)
        for gate, reset_update, reset, update, inner, candidate, before, after in zip(
            gates,
            gates[..., : 2 * size],
            gates[..., :size],
            gates[..., size : 2 * size],
            gates[..., 2 * size :],
            candidates,
            states[:-1],
            states[1:],
            strict=True,
        ):
            torch.baddbmm(gate, before, layer.recurrent, out=gate)
            reset_update.sigmoid_()
            candidate.addcmul_(inner, reset).tanh_()
            torch.lerp(candidate, before, update, out=after)
        return states[1:]


class _Turned:
    """Turns sequences round within their lengths: what was last comes first."""

    def __init__(self, lengths: Tensor, steps: int) -> None:
        self.rows = torch.arange(len(lengths), device=lengths.device)
        self.last = lengths - 1
        self._places: Tensor | None = None
        if int(lengths.min()) < steps:
            places = self.last[:, None] - torch.arange(steps, device=lengths.device)
            self._places = places.remainder(steps)

    def __call__(self, x: Tensor) -> Tensor:
        """[K, B, T, ...] -> the same turned round; what stands in the padding stays there."""
        if self._places is None:
            return x.flip(2)
        return x[:, self.rows[:, None], self._places]


def _layer(grus: Sequence[nn.GRU], index: int) -> _Layer:
    size = grus[0].hidden_size
    inputs, recurrent, candidate = [], [], []
    for gru in grus:
        weights, biases = [], []
        for direction in ("", "_reverse"):
            weight_ih, weight_hh, bias_ih, bias_hh = (
                getattr(gru, f"{name}_l{index}{direction}").detach()
                for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
            )
            weights.append(weight_ih)
            biases.append(
                torch.cat([bias_ih[: 2 * size] + bias_hh[: 2 * size], bias_ih[2 * size :]])
            )
            recurrent.append(weight_hh.T)
            candidate.append(bias_hh[2 * size :])
        inputs.append(PackedLinear(torch.cat(weights), torch.cat(biases)))
    return _Layer(
        tuple(inputs), torch.stack(recurrent).contiguous(), torch.stack(candidate)[:, None]
    )

"""PCEN against its recursion, step by step."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models.layers.pcen import Pcen, exponential_average


def recursion(x, smoothing, before):
    """M_t = (1 - s) M_{t-1} + s x_t, one step at a time, in double precision."""
    means, mean = [], before
    for value in x:
        mean = (1 - smoothing) * mean + smoothing * value
        means.append(mean)
    return np.array(means)


@settings(deadline=None)
@given(
    length=st.integers(1, 1100),
    smoothing=st.sampled_from([0.0, 1e-4, 0.04, 0.5, 0.999, 1.0]),
    seed=st.integers(0, 99),
)
def test_the_average_is_that_of_the_recursion(length, smoothing, seed):
    x = np.exp(np.random.default_rng(seed).normal(0, 3, length))
    ours = exponential_average(
        torch.tensor(x)[None, None],
        torch.tensor([smoothing], dtype=torch.float64),
        torch.tensor([[2.0]]),
    )
    np.testing.assert_allclose(ours[0, 0], recursion(x, smoothing, 2.0), rtol=1e-9)


@pytest.mark.parametrize("smoothing", [0.001, 0.04, 1.0])
def test_an_hour_is_as_exact_as_a_second(smoothing):
    frames = 3600 * 100 // 3
    x = np.exp(np.random.default_rng(0).normal(0, 4, frames))
    x[frames // 2 :] *= 1e-8
    s = torch.tensor([smoothing])
    ours = exponential_average(torch.tensor(x).float()[None, None], s, torch.ones(1, 1))
    np.testing.assert_allclose(ours[0, 0], recursion(x, s.item(), 1.0), rtol=1e-3)


def test_compression_is_the_published_equation():
    pcen = Pcen(3)
    energies = torch.rand(2, 3, 50, generator=torch.Generator().manual_seed(0)) * 100 + 1e-5
    values, means = pcen(energies)
    for batch in range(2):
        for channel in range(3):
            f = energies[batch, channel].double().numpy()
            m = recursion(f, 0.04, f[0])
            expected = (f / (1e-12 + m) ** 0.96 + 2.0) ** 0.5 - 2.0**0.5
            np.testing.assert_allclose(values[batch, channel].detach(), expected, rtol=1e-4)
            np.testing.assert_allclose(means[batch, channel].detach(), m, rtol=1e-5)


@settings(deadline=None)
@given(split=st.integers(1, 99))
def test_in_two_pieces_it_is_the_same(split):
    pcen = Pcen(4)
    energies = torch.rand(1, 4, 100, generator=torch.Generator().manual_seed(1)) + 1e-5
    whole, _ = pcen(energies)
    first, means = pcen(energies[..., :split])
    second, _ = pcen(energies[..., split:], means[..., -1])
    torch.testing.assert_close(torch.cat([first, second], dim=-1), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.04, 1.0])
def test_gradients_are_finite_at_the_bounds(smoothing):
    pcen = Pcen(2)
    with torch.no_grad():
        pcen.smoothing.fill_(smoothing)
    values, _ = pcen(torch.rand(1, 2, 200) + 1e-5)
    values.square().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in pcen.parameters())


def test_a_louder_recording_gives_nearly_the_same():
    pcen = Pcen(1)
    energies = torch.rand(1, 1, 300, generator=torch.Generator().manual_seed(2)) + 0.1
    quiet, loud = pcen(energies)[0], pcen(100 * energies)[0]
    assert (loud / quiet - 1).abs().max() < 0.25

"""LEAF's energies against their definition, on real and on hostile signals."""

import copy
import math

import numpy as np
import pytest
import soundfile
import torch

from streamer_models.bundle import Bundle, find_bundle
from streamer_models.layers.gabor_energies import interpolation
from streamer_models.layers.leaf import Leaf, LeafConfig, direct_energies, mel_gabors

RATE = 16_000


def tone(hz, seconds=0.6, amplitude=1.0):
    return amplitude * torch.sin(2 * math.pi * hz * torch.arange(int(seconds * RATE)) / RATE)


def noise(seconds=1.5, level=0.05):
    return level * torch.randn(int(seconds * RATE), generator=torch.Generator().manual_seed(1))


def bursts():
    """Tones that begin and end anywhere, over digital silence."""
    wave = torch.zeros(2 * RATE)
    places = torch.randint(
        0, 2 * RATE - 1500, (20,), generator=torch.Generator().manual_seed(2)
    ).tolist()
    for index, place in enumerate(places):
        length = 100 + 60 * index
        wave[place : place + length] = tone(120.0 * 1.22**index, amplitude=0.8**index)[:length]
    return wave


SHIPPED = ["streamer-en-1"]
"""Bundles whose audio encoder begins with LEAF."""


def leaf_with(parameters):
    if parameters in SHIPPED:
        return Bundle.load(find_bundle(parameters)).model.audio.leaf
    leaf = Leaf()
    random = torch.Generator().manual_seed(3)

    def uniform(low, high):
        return low + (high - low) * torch.rand(40, generator=random)

    with torch.no_grad():
        if parameters == "moved":
            leaf.centre += uniform(-0.05, 0.05)
            leaf.width *= uniform(0.7, 1.3)
            leaf.pool_width += uniform(-0.1, 0.1)
        elif parameters == "random":
            leaf.centre.copy_(uniform(0, math.pi))
            leaf.width.copy_(uniform(1.5, 150))
            leaf.pool_width.copy_(uniform(2 / 401, 0.5))
    return leaf


@pytest.fixture(scope="module")
def speech(shared_data):
    """A second of each of several recordings, quiet and loud, clean and coded."""
    folder = shared_data / "speech"
    corpora = ["ravdess", "emodb", "urdu", "emospeech_in", "ased"]
    parts = []
    for corpus in corpora:
        file = sorted((folder / corpus).rglob("*.ogg"))[7]
        samples, _ = soundfile.read(file, dtype="float32", always_2d=True)
        parts.append(torch.from_numpy(samples[RATE // 2 : RATE * 3 // 2, 0]))
    return torch.cat(parts)


def assert_same_energies(leaf, wave):
    reference = direct_energies(copy.deepcopy(leaf).double(), wave.double()[None])
    with torch.no_grad():
        error = (leaf.energies(wave[None]).double().log() - reference.log()).abs().flatten()
    assert error.max() < 0.05
    assert error.quantile(0.999) < 0.01


@pytest.mark.parametrize("parameters", ["initial", "moved", "random"])
@pytest.mark.parametrize(
    "wave",
    [
        noise(),
        noise(level=1e-3),
        torch.cat([tone(hz) for hz in (100, 440, 1000, 3999, 7500)]),
        tone(700, amplitude=0.5) + tone(950, amplitude=0.05),
        bursts(),
        torch.cat([torch.zeros(RATE // 2), noise(0.5), torch.zeros(RATE // 3)]),
        torch.ones(RATE // 2),
        (40 * noise()).clamp(-1, 1),
    ],
    ids=[
        "noise",
        "quiet-noise",
        "tones",
        "two-tones",
        "bursts",
        "silence-around",
        "constant",
        "clipped",
    ],
)
def test_energies_match_the_definition(parameters, wave):
    assert_same_energies(leaf_with(parameters), wave)


@pytest.mark.parametrize("parameters", ["initial", "moved", "random", *SHIPPED])
def test_energies_of_speech_match_the_definition(parameters, speech):
    leaf = leaf_with(parameters)
    assert_same_energies(leaf, speech)
    assert_same_energies(leaf, (30 * speech).clamp(-1, 1))


def test_the_direct_form_is_the_definition():
    """Each filter's convolution, its squared modulus and the pooling window, written out for one filter."""
    leaf = Leaf().double()
    wave = noise(0.15).double()
    index, offset = 17, np.arange(-200, 201)
    mu, sigma = leaf.centre[index].item(), leaf.width[index].item()
    gabor = np.exp(1j * mu * offset - 0.5 * (offset / sigma) ** 2) / (
        math.sqrt(2 * math.pi) * sigma
    )
    filtered = np.convolve(wave.numpy() * leaf.config.gain, gabor)
    power = np.pad(np.abs(filtered) ** 2, (200, 1000))  # sample t of the wave is now at t + 400
    pool = np.exp(-0.5 * (offset / (0.4 * 200)) ** 2)
    expected = [np.sum(pool * power[480 * f + 200 : 480 * f + 601]) for f in range(5)]
    np.testing.assert_allclose(
        direct_energies(leaf, wave[None])[0, index].detach(), expected, rtol=1e-6
    )


@pytest.mark.parametrize("parameters", ["initial", "moved", "random"])
def test_gradients_match_the_definition(parameters):
    leaf = leaf_with(parameters).double()
    wave = torch.stack([noise(0.3), 0.3 * tone(500, 0.3)]).double().requires_grad_()
    filters = [leaf.centre, leaf.width, leaf.pool_width, wave]
    weights = torch.randn(
        2, 40, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(4)
    )

    def gradients(energies):
        return torch.autograd.grad((energies.log() * weights).sum(), filters)

    for ours, reference in zip(
        gradients(leaf.energies(wave)), gradients(direct_energies(leaf, wave)), strict=True
    ):
        assert (ours - reference).norm() < 2e-3 * reference.norm()


@pytest.mark.parametrize(
    ("samples", "columns"), [(0, 1), (1, 1), (479, 1), (480, 1), (481, 2), (960, 2), (961, 3)]
)
def test_there_is_a_column_for_each_hop_begun(samples, columns):
    wave = noise(0.1)[None, :samples]
    leaf = Leaf()
    assert leaf(wave).shape == (1, 40, columns)
    assert direct_energies(leaf, wave).shape == (1, 40, columns)
    assert leaf(wave).isfinite().all()


def test_silence_is_the_floor():
    assert (Leaf().energies(torch.zeros(2, 5000)) == LeafConfig().floor).all()


def test_silence_behind_an_utterance_changes_nothing():
    leaf = Leaf()
    wave = noise(0.2)[None]
    with torch.no_grad():
        alone, padded = leaf.energies(wave), leaf.energies(torch.nn.functional.pad(wave, (0, 7000)))
    torch.testing.assert_close(padded[..., : alone.shape[-1]], alone, rtol=1e-4, atol=1e-7)


def test_parameters_are_held_within_their_bounds():
    leaf, bounded = Leaf(), Leaf()
    with torch.no_grad():
        for parameter in leaf.parameters():
            parameter.fill_(-7.0)
        bounded.centre.fill_(0)
        bounded.width.fill_(4 * math.sqrt(2 * math.log(2)) / math.pi)
        bounded.pool_width.fill_(2 / 401)
        wave = noise(0.3)[None]
        torch.testing.assert_close(leaf.energies(wave), bounded.energies(wave))
        assert leaf(wave).isfinite().all()
        for parameter in leaf.parameters():
            parameter.fill_(1e4)
        assert leaf(wave).isfinite().all()


def test_filters_that_change_are_noticed():
    leaf, other = Leaf(), leaf_with("moved")
    wave = noise(0.3)[None]
    with torch.no_grad():
        leaf.energies(wave)
        leaf.load_state_dict(other.state_dict())
        assert torch.equal(leaf.energies(wave), other.energies(wave))
        leaf.width.data.mul_(1.1)
        assert not torch.equal(leaf.energies(wave), other.energies(wave))


@pytest.mark.parametrize("frozen", [False, True])
def test_gradients_still_flow_after_an_evaluation(frozen):
    interpolation.cache_clear()
    leaf = Leaf().requires_grad_(not frozen)
    wave = noise(0.1)[None]
    with torch.inference_mode():
        leaf(wave)
    wave.requires_grad_()
    leaf(wave).sum().backward()
    learning = [wave] if frozen else [wave, *leaf.parameters()]
    assert all(tensor.grad is not None and tensor.grad.isfinite().all() for tensor in learning)


def test_filters_begin_on_the_mel_scale():
    centres, widths = mel_gabors(LeafConfig())
    hz = centres * RATE / (2 * math.pi)
    assert 60 < hz[0] < 130
    assert 7000 < hz[-1] < 7800
    assert (hz.diff() > 0).all()
    assert widths[0] > 5 * widths[-1]


def test_a_tone_is_loudest_in_the_filter_at_its_pitch():
    leaf = Leaf()
    for index in (3, 15, 30, 38):
        wave = tone(leaf.centre[index].item() * RATE / (2 * math.pi))
        assert leaf.energies(wave[None])[0, :, 10].argmax() == index

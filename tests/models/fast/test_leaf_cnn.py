"""The stages of the fast audio encoder, each against the plain one, in one go and in pieces."""

import pytest
import torch

from streamer_models.bundle import Bundle, find_bundle
from streamer_models.encoders.leaf_cnn import LeafCnn, LeafCnnConfig
from streamer_models.fast.leaf_cnn import FastLeafCnn
from streamer_models.layers.leaf import LeafConfig


def settled(encoder):
    """In evaluation mode, with statistics and parameters as after a training."""
    for module in encoder.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.running_mean, 0, 0.1)
            torch.nn.init.uniform_(module.running_var, 0.5, 1.5)
            torch.nn.init.normal_(module.weight, 1, 0.2)
            torch.nn.init.normal_(module.bias, 0, 0.1)
    pcen = encoder.leaf.pcen
    for parameter, low, high in (
        (pcen.alpha, 0.5, 1.2),
        (pcen.smoothing, -0.1, 0.6),
        (pcen.delta, -0.5, 4),
        (pcen.root, 0.5, 4),
    ):
        torch.nn.init.uniform_(parameter, low, high)
    return encoder.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module", params=["40 bands", "64 bands", "shipped"])
def encoder(request):
    torch.manual_seed(0)
    if request.param == "shipped":
        return Bundle.load(find_bundle("streamer-en-1")).model.audio
    return settled(LeafCnn(LeafCnnConfig(leaf=LeafConfig(filters=int(request.param[:2])))))


@pytest.fixture(scope="module")
def network(encoder):
    return FastLeafCnn(encoder)


def energies(frames):
    generator = torch.Generator().manual_seed(frames)
    return lambda bands: (3 * torch.randn(bands, frames, generator=generator)).exp().clamp(min=1e-5)


def test_energies_match_leaf(encoder, network):
    wave = 0.1 * torch.randn(9 * 480 + 801, generator=torch.Generator().manual_seed(1))
    expected = encoder.leaf.energies_within(wave[None])[0]
    assert expected.shape == (encoder.config.leaf.filters, 10)
    torch.testing.assert_close(network.energies(wave), expected)


@pytest.mark.parametrize("pieces", [[1], [16], [16, 16, 3], [64, 64, 1], [200, 1, 63]], ids=str)
def test_compression_matches_pcen(encoder, network, pieces):
    given = energies(sum(pieces))(encoder.config.leaf.filters)
    expected, means = encoder.leaf.pcen(given[None])
    average, compressed = None, []
    for piece in given.split(pieces, dim=1):
        made, average = network.compress(piece, average)
        compressed.append(made)
    torch.testing.assert_close(torch.cat(compressed, dim=1), expected[0], atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(average, means[0, :, -1], atol=1e-9, rtol=1e-4)


@pytest.mark.parametrize("pieces", [[36], [36, 8, 8, 24], [52, 24], [76]], ids=str)
def test_columns_of_pieces_match_the_whole(encoder, network, pieces):
    generator = torch.Generator().manual_seed(2)
    features = torch.randn(encoder.config.leaf.filters, sum(pieces), generator=generator)
    state, columns = (), []
    for piece in features.split(pieces, dim=-1):
        made, state = network.columns(piece, state)
        columns.append(made)
    expected = encoder.cnn.columns(features[None])[0]
    torch.testing.assert_close(torch.cat(columns, dim=-1), expected, atol=1e-5, rtol=1e-4)


def test_state_between_pieces_is_small(encoder, network):
    bands = encoder.config.leaf.filters
    _, state = network.columns(torch.zeros(bands, 36 + 80), ())
    assert sum(kept.untyped_storage().nbytes() for kept in state) < 1000 * bands

"""The audio encoder: an utterance's embedding is its own, whatever else is in the batch."""

import pytest
import torch

from streamer_models.encoders.leaf_cnn import (
    COLUMN_HOP,
    RECEPTIVE_FIELD,
    ConvolutionalEncoder,
    LeafCnn,
    column_count,
)


def settled(module):
    """In evaluation mode, with statistics of batches as after a training."""
    for norm in (m for m in module.modules() if isinstance(m, torch.nn.BatchNorm2d)):
        torch.nn.init.normal_(norm.running_mean, 0, 0.1)
        torch.nn.init.uniform_(norm.running_var, 0.5, 1.5)
        torch.nn.init.normal_(norm.bias, 0, 0.1)
    return module.eval().requires_grad_(requires_grad=False)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return settled(LeafCnn())


def waves(*lengths):
    generator = torch.Generator().manual_seed(5)
    return [0.1 * torch.randn(length, generator=generator) for length in lengths]


def test_batch_and_padding_change_no_embedding(encoder):
    lengths = [40_000, 1, 479, 480, 17_280, 17_281, 21_120, 25_000, 0]
    utterances = waves(*lengths)
    batch = torch.full((len(lengths), 45_000), 0.7)  # garbage behind each end
    for row, utterance in zip(batch, utterances, strict=True):
        row[: len(utterance)] = utterance
    together = encoder(batch, torch.tensor(lengths))
    assert together.shape == (len(lengths), 100)
    for embedding, utterance in zip(together, utterances, strict=True):
        torch.testing.assert_close(embedding, encoder(utterance[None])[0], atol=1e-5, rtol=1e-4)


def test_kept_energies_give_the_same_embedding(encoder):
    (wave,) = waves(30_000)
    lengths = torch.tensor([30_000, 9_000])
    batch = torch.stack([wave, wave])
    energies, frames = encoder.energies(batch, lengths)
    assert frames.tolist() == [63, 19]
    cropped = encoder.from_energies(energies[1:, :, :19], frames[1:])
    torch.testing.assert_close(cropped, encoder(batch, lengths)[1:], atol=1e-5, rtol=1e-4)


def test_a_column_sees_the_frames_of_its_receptive_field():
    torch.manual_seed(1)
    cnn = settled(ConvolutionalEncoder(40))
    features = torch.randn(1, 40, RECEPTIVE_FIELD + 2 * COLUMN_HOP)
    columns = cnn.columns(features)
    assert columns.shape == (1, 100, 3)
    changed = features.clone()
    changed[..., : 2 * COLUMN_HOP] += 1
    assert torch.equal(cnn.columns(changed)[..., 2], columns[..., 2])
    for first, last in ((0, 35), (8, 43), (16, 51)):
        for frame in (first, last):
            changed = features.clone()
            changed[..., frame] += 10
            index = first // COLUMN_HOP
            assert not torch.equal(cnn.columns(changed)[..., index], columns[..., index])


@pytest.mark.parametrize("bands", [40, 64])
def test_the_embedding_is_the_mean_of_an_utterances_columns(bands):
    torch.manual_seed(3)
    cnn = settled(ConvolutionalEncoder(bands, embedding=20))
    features = torch.randn(2, bands, 60)
    embeddings = cnn(features, torch.tensor([60, 45]))
    torch.testing.assert_close(embeddings[0], cnn.columns(features)[0].mean(dim=-1))
    torch.testing.assert_close(embeddings[1], cnn.columns(features)[1, :, :2].mean(dim=-1))
    torch.testing.assert_close(cnn(features)[0], embeddings[0])


@pytest.mark.parametrize(
    ("frames", "columns"), [(1, 1), (35, 1), (36, 1), (43, 1), (44, 2), (52, 3)]
)
def test_every_utterance_has_a_column(frames, columns):
    assert column_count(torch.tensor([frames])).tolist() == [columns]


def test_too_few_bands_are_refused():
    with pytest.raises(ValueError, match="too few"):
        ConvolutionalEncoder(35)


def test_everything_learns():
    torch.manual_seed(4)
    encoder = LeafCnn()
    batch = torch.stack(waves(20_000, 20_000, 20_000))
    encoder(batch, torch.tensor([20_000, 15_000, 3_000])).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name

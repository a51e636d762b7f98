import pytest
import torch

from streamer_models.context.attention import ContextConfig, ContextEncoder, SelfAttention


@pytest.fixture
def window():
    torch.manual_seed(4)
    x = torch.randn(2, 6, 10)
    has = torch.rand(2, 6) > 0.3
    same = torch.rand(2, 6) > 0.5
    mask = torch.arange(6) < torch.tensor([[6], [4]])
    return x, has, same, mask


def encoder(*, speaker=True):
    torch.manual_seed(5)
    return ContextEncoder(10, ContextConfig(hidden=8), speaker=speaker).eval().requires_grad_(False)


def test_attention_matches_the_papers_equation():
    torch.manual_seed(0)
    attention = SelfAttention(5)
    x, mask = torch.randn(1, 4, 5), torch.tensor([[True, True, True, False]])
    real = x[0, :3]
    projected = real @ attention.projection.weight.T
    expected = torch.stack(
        [
            sum(w * v for w, v in zip(torch.softmax(projected @ p, dim=0), real, strict=True))
            for p in projected
        ]
    )
    torch.testing.assert_close(attention(x, mask)[0, :3], expected)


def test_padding_changes_nothing(window):
    x, has, same, mask = window
    together = encoder()(x, has, same, mask)
    assert together.shape == (2, 6, 16)
    alone = encoder()(x[1:, :4], has[1:, :4], same[1:, :4], mask[1:, :4])
    torch.testing.assert_close(together[1, :4], alone[0], atol=1e-6, rtol=1e-5)


def test_ignores_values_of_a_missing_modality(window):
    x, has, same, mask = window
    other = torch.where(has[..., None], x, float("nan"))
    torch.testing.assert_close(encoder()(x, has, same, mask), encoder()(other, has, same, mask))


def test_a_missing_modality_is_not_a_zero_vector(window):
    x, has, same, mask = window
    zeros = torch.where(has[..., None], x, 0)
    all_there = torch.ones_like(has)
    assert (
        encoder()(x, has, same, mask) - encoder()(zeros, all_there, same, mask)
    ).abs().max() > 1e-3


def test_the_missing_vector_and_the_speakers_learn(window):
    network = ContextEncoder(10, ContextConfig(hidden=8), speaker=True)
    network(*window).square().sum().backward()
    assert network.missing.grad.abs().sum() > 0
    assert (network.speaker.grad.abs().sum(1) > 0).all()


def test_the_speaker_counts_only_where_it_is_asked_for(window):
    x, has, same, mask = window
    aware = encoder()
    assert (aware(x, has, same, mask) - aware(x, has, ~same, mask)).abs().max() > 1e-3
    unaware = encoder(speaker=False)
    torch.testing.assert_close(unaware(x, has, same, mask), unaware(x, has, ~same, mask))

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from streamer_models.layers.cross_attention import CrossAttention
from streamer_models.layers.masking import masked_softmax
from streamer_models.layers.pooling import RunningStatistics, statistical_unit, statistics
from streamer_models.sequences import Sequences


@settings(max_examples=20, deadline=None)
@given(lengths=st.lists(st.integers(0, 6), min_size=1, max_size=4), seed=st.integers(0, 99))
def test_statistics_are_those_of_the_real_steps(lengths, seed):
    g = torch.Generator().manual_seed(seed)
    rows = [torch.randn(n, 3, generator=g) if n else None for n in lengths]
    batch = Sequences.of(rows, 3)
    noisy = torch.where(batch.mask[..., None], batch.values, 99.0)
    unit, pair = statistical_unit(noisy, batch.mask), statistics(noisy, batch.mask)
    for row, three, two in zip(rows, unit, pair, strict=True):
        expected = torch.zeros(3, 3)
        if row is not None:
            expected = torch.stack([row.amax(0), row.mean(0), row.std(0, correction=0)])
        torch.testing.assert_close(three, expected, atol=2e-3, rtol=1e-4)
        torch.testing.assert_close(two, three[1:].flatten(), atol=1e-6, rtol=1e-5)


def test_softmax_of_nothing_is_zero():
    weights = masked_softmax(torch.randn(2, 3), torch.tensor([[True, False, True], [False] * 3]))
    assert weights[0].sum() == pytest.approx(1)
    assert weights[0, 1] == 0
    assert (weights[1] == 0).all()


@settings(max_examples=20, deadline=None)
@given(sizes=st.lists(st.integers(0, 9), min_size=1, max_size=6), seed=st.integers(0, 99))
def test_running_statistics_equal_those_of_the_whole(sizes, seed):
    x = 100 + torch.randn(sum(sizes) + 1, 4, generator=torch.Generator().manual_seed(seed))
    running = RunningStatistics()
    for piece in x.split([*sizes, 1]):
        running.push(piece)
    whole = statistical_unit(x[None], torch.ones(1, len(x), dtype=torch.bool))[0]
    torch.testing.assert_close(running.result(), whole, atol=1e-4, rtol=1e-4)


def test_running_statistics_of_nothing_are_refused():
    with pytest.raises(ValueError, match="nothing"):
        RunningStatistics().result()


def test_cross_attention_is_torchs_multihead_attention():
    torch.manual_seed(0)
    ours = CrossAttention(12, 3)
    theirs = torch.nn.MultiheadAttention(12, 3, batch_first=True)
    parts = (ours.query, ours.key, ours.value)
    theirs.in_proj_weight.data = torch.cat([part.weight for part in parts])
    theirs.in_proj_bias.data = torch.cat([part.bias for part in parts])
    theirs.out_proj.load_state_dict(ours.out.state_dict())
    x, others = torch.randn(2, 4, 12), torch.randn(2, 5, 12)
    mask = torch.tensor([[True] * 5, [True, True, False, False, False]])
    expected, _ = theirs(x, others, others, key_padding_mask=~mask)
    torch.testing.assert_close(ours(x, others, mask), expected, atol=1e-5, rtol=1e-5)


def test_sequences_of_another_size_are_refused():
    with pytest.raises(ValueError, match="vectors of 4"):
        Sequences.of([torch.zeros(2, 3)], 4)

import pytest
import torch

from streamer_models.fast.recurrent import SideBySideGrus
from streamer_models.layers.recurrent import BiGru


@pytest.mark.parametrize("layers", [1, 2, 3])
@pytest.mark.parametrize("together", [1, 2, 3])
@pytest.mark.parametrize("lengths", [[6], [1], [6, 6], [1, 6, 4, 6, 2]], ids=str)
def test_matches_each_gru(layers, together, lengths):
    torch.manual_seed(0)
    plain = [BiGru(5, 7, layers).eval().requires_grad_(False) for _ in range(together)]
    x, lengths = torch.randn(together, len(lengths), 6, 5), torch.tensor(lengths)
    x = x[:, :, : lengths.max()]
    outputs, ends = SideBySideGrus([gru.gru for gru in plain])(x, lengths)
    assert outputs.isfinite().all()
    real = torch.arange(x.shape[2]) < lengths[:, None]
    for gru, ours, end, one in zip(plain, outputs, ends, x, strict=True):
        wanted, wanted_end = gru(one, lengths)
        torch.testing.assert_close(ours[real], wanted[real], atol=1e-6, rtol=1e-5)
        torch.testing.assert_close(end, wanted_end, atol=1e-6, rtol=1e-5)


def test_leaves_the_input_unchanged():
    torch.manual_seed(1)
    gru = BiGru(5, 7, 2).eval().requires_grad_(False)
    x = torch.randn(1, 2, 6, 5)
    before = x.clone()
    SideBySideGrus([gru.gru])(x, torch.tensor([6, 3]))
    assert torch.equal(x, before)

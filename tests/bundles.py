"""A small bundle with random weights: everything works as with a trained one, but its opinions."""

import torch

from streamer_models.bundle import Bundle
from streamer_models.encoders.bert_gru import BertGruConfig
from streamer_models.heads.calibration import Calibration
from streamer_models.tokenizer import TextTokenizer
from streamer_models.zoo.dutta2022 import Dutta2022, Dutta2022Config


def make_bundle(directory, *, window=4):
    """Save a random bundle, the same each time, and give its directory."""
    torch.manual_seed(7)
    text = BertGruConfig(
        vocabulary=64, width=32, layers=2, heads=4, feed_forward=64, last_layers=2, max_tokens=32
    )
    config = Dutta2022Config(text=text, window=window)
    model = Dutta2022(config).eval()
    with torch.no_grad():
        for parameter in model.fusion.parameters():
            parameter.mul_(3)  # opinions that differ from one utterance to the next
    Bundle(
        name="random",
        version="0",
        model=model,
        calibration=Calibration(),
        threshold=0.3,
        tokenizer=TextTokenizer(_letters(), text.max_tokens),
        card="Random weights, for tests.",
    ).save(directory)
    return directory


def _letters():
    """A tokenizer that spells: a token for each letter."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordPiece
    from tokenizers.normalizers import Lowercase
    from tokenizers.pre_tokenizers import Whitespace
    from tokenizers.processors import TemplateProcessing

    letters = "abcdefghijklmnopqrstuvwxyz'"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *letters, *(f"##{c}" for c in letters)]
    tokenizer = Tokenizer(
        WordPiece({token: i for i, token in enumerate(vocabulary)}, unk_token="[UNK]")  # noqa: S106 - a word
    )
    tokenizer.normalizer = Lowercase()
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    return tokenizer.to_str()

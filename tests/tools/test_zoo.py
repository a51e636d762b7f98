"""The recipe of the zoo's systems, on a small world: tones for voices, a dozen words for talk."""

import pytest
import torch

from streamer_models.bundle import Bundle
from streamer_models.encoders.bert_tokens import BertTokens
from streamer_models.tokenizer import TextTokenizer
from tests.models.tiny_bundle import TEXT, tokenizer_definition
from tests.models.zoo.tiny import TOKENS
from tests.tools.small_world import world
from tools.training.recipes.zoo import ZooSettings, train_system
from tools.training.tasks.zoo_data import Amount

AMOUNT = Amount(clips=16, texts=16)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return world(tmp_path_factory.mktemp("world"))


def tokens():
    torch.manual_seed(0)
    return BertTokens(TOKENS).eval(), TextTokenizer(tokenizer_definition(), TEXT.max_tokens)


def test_learns_to_tell_tones_apart_and_writes_a_bundle(data, tmp_path):
    settings = ZooSettings(epochs=12, batch=8, learning_rate=5e-3)
    result = train_system("hsu2021", data, tmp_path / "b", settings, AMOUNT, cache=tmp_path)
    assert result["speech"]["n"] == 16
    assert result["speech"]["ua"]["value"] > 0.6
    assert "meld_text" not in result
    bundle = Bundle.load(tmp_path / "b")
    assert bundle.labels == ("angry", "happy", "sad", "neutral")
    assert bundle.modalities == ("audio",)
    assert not (tmp_path / "b" / "unfinished.safetensors").exists()


def test_equal_seeds_give_equal_weights(data, tmp_path):
    settings = ZooSettings(epochs=1, batch=8)
    for name in ("a", "b"):
        train_system(
            "padi2022", data, tmp_path / name, settings, AMOUNT, cache=tmp_path, tokens=tokens()
        )
    one, two = (Bundle.load(tmp_path / name) for name in ("a", "b"))
    assert one.modalities == ("audio", "text")
    assert 0.1 <= float(one.model.weight) <= 0.9
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(two.model.state_dict()[name], tensor)


def test_reports_texts_and_both_on_dialogues_not_used_for_choices(data, tmp_path):
    settings = ZooSettings(epochs=1, batch=8)
    result = train_system(
        "krishna2021", data, tmp_path / "b", settings, AMOUNT, cache=tmp_path, tokens=tokens()
    )
    assert result["meld_text"]["n"] == result["meld_both"]["n"] == 4
    assert result["cpu_ms_per_second"] > 0

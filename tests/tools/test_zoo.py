"""The recipe of the zoo's systems, on a small world: tones for voices, a dozen words for talk."""

import gzip

import numpy as np
import pytest
import soundfile
import torch

from streamer_models.bundle import Bundle
from streamer_models.encoders.bert_tokens import BertTokens
from streamer_models.tokenizer import TextTokenizer
from tests.models.tiny_bundle import TEXT, tokenizer_definition
from tests.models.zoo.tiny import TOKENS
from tests.tools.small_world import world
from tools.evaluate.metrics import equal_error_rate
from tools.training.recipes.zoo import ZooSettings, train_system
from tools.training.recipes.zoo_material import Encoders
from tools.training.tasks.zoo_data import Amount
from tools.training.tasks.zoo_encoders import FrozenText, speaker_frames

AMOUNT = Amount(clips=16, texts=16)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = world(tmp_path_factory.mktemp("world"))
    add_laughs(folder / "speech")
    add_ratings(folder / "text" / "emobank")
    return folder


def add_ratings(folder):
    """Sentences that readers rated."""
    folder.mkdir(parents=True)
    with gzip.open(folder / "utterances.csv.gz", "wt") as file:
        file.write("split,id,text,valence,arousal,dominance\n")
        for place in range(12):
            good = place % 2
            text = "so very happy" if good else "i am sad today"
            file.write(f"{('train', 'dev')[place % 3 == 0]},{place},{text},{2 + 2 * good},3.5,3\n")


def add_laughs(folder):
    """Clips without words: noise that comes and goes."""
    rng = np.random.default_rng(1)
    with (folder / "manifest.csv").open("a") as manifest:
        for split in ("train", "dev"):
            for take in range(6):
                time = np.arange(12_000) / 16_000
                wave = 0.3 * rng.standard_normal(len(time)) * (np.sin(30 * time) > 0)
                soundfile.write(folder / f"laugh_{split}_{take}.wav", wave.clip(-1, 1), 16_000)
                row = f"laugh_{split}_{take}.wav,emogator,{split}{take},female,amusement,,{split}\n"
                manifest.write(row)


def encoders():
    torch.manual_seed(0)
    tokenizer = TextTokenizer(tokenizer_definition(), TEXT.max_tokens)
    return Encoders(None, FrozenText(BertTokens(TOKENS).eval(), tokenizer))


def test_learns_to_tell_tones_apart_and_writes_a_bundle(data, tmp_path):
    settings = ZooSettings(epochs=8, batch=8, learning_rate=5e-3)
    result = train_system(
        "hsu2021", data, tmp_path / "b", settings, AMOUNT, cache=tmp_path, encoders=encoders()
    )
    assert result["speech"]["n"] == 16
    assert result["speech"]["ua"]["value"] > 0.6
    assert "meld_text" not in result
    assert result["sounds"]["n"] > 12
    assert result["sounds"]["recall"]["laugh"] > 0.6
    bundle = Bundle.load(tmp_path / "b")
    assert bundle.labels == ("angry", "happy", "sad", "neutral")
    assert bundle.modalities == ("audio",)
    assert not (tmp_path / "b" / "unfinished.safetensors").exists()


def test_equal_seeds_give_equal_weights(data, tmp_path):
    settings = ZooSettings(epochs=1, batch=8)
    for name in ("a", "b"):
        train_system(
            "hsu2021", data, tmp_path / name, settings, AMOUNT, cache=tmp_path, encoders=encoders()
        )
    one, two = (Bundle.load(tmp_path / name) for name in ("a", "b"))
    for name, tensor in one.model.state_dict().items():
        assert torch.equal(two.model.state_dict()[name], tensor)


def test_learns_speakers_first_and_chooses_the_weight_of_the_fusion(data, tmp_path):
    settings = ZooSettings(epochs=1, batch=8, speaker_epochs=1)
    result = train_system(
        "padi2022", data, tmp_path / "b", settings, AMOUNT, cache=tmp_path, encoders=encoders()
    )
    bundle = Bundle.load(tmp_path / "b")
    assert bundle.modalities == ("audio", "text")
    assert 0.1 <= float(bundle.model.weight) <= 0.9
    assert 0 <= result["verification"]["eer"] <= 1
    assert result["verification"]["speakers"] == 2


def test_takes_a_speaker_encoder_for_the_speakers(data, tmp_path):
    settings = ZooSettings(epochs=1, batch=8)
    only = Amount(clips=8, texts=8)
    given = Encoders(speaker_frames(), encoders().text)
    result = train_system(
        "padi2022", data, tmp_path / "b", settings, only, cache=tmp_path, encoders=given
    )
    assert 0 <= result["verification"]["eer"] <= 1
    model = Bundle.load(tmp_path / "b").model
    assert model.resnet is None
    assert model.speaker is None


def test_reports_dimensions_and_texts_on_dialogues_not_used_for_choices(data, tmp_path):
    settings = ZooSettings(epochs=1, batch=8)
    result = train_system(
        "atmaja2020", data, tmp_path / "b", settings, AMOUNT, cache=tmp_path, encoders=encoders()
    )
    assert result["dimensions"]["voices"]["n"] == 16
    assert result["dimensions"]["rated_texts"]["n"] == 4
    assert result["meld_text"]["n"] == result["meld_both"]["n"] == 4
    both = result["meld_dialogues"]
    assert both["alone"]["n"] == both["with_the_past"]["n"] == 4
    assert Bundle.load(tmp_path / "b").model.window == settings.context
    assert result["cpu_ms_per_second"] > 0


def test_equal_error_rate_is_where_both_kinds_of_error_meet():
    same = np.array([True, True, True, True, False, False, False, False])
    assert equal_error_rate(np.array([8.0, 7, 6, 3, 5, 2, 1, 0]), same) == pytest.approx(0.25)
    assert equal_error_rate(np.arange(8.0)[::-1], same) == 0.0
    assert equal_error_rate(np.arange(8.0), same) == 1.0

"""The recipe of the bundles with Whisper's encoder: whole, repeatable, resumable, and true in what its card says."""

import csv
import gzip
import json

import numpy as np
import pytest
import soundfile
import torch

from streamer_models.bundle import Bundle
from streamer_models.encoders.whisper import WhisperConfig
from tests.tools import small_world
from tests.whisper_model import make_whisper
from tools.training.recipes.label_data import TERMS, LabelData
from tools.training.recipes.label_figures import CROSSED, FOLDS
from tools.training.recipes.labels import LabelSettings, train_labels
from tools.training.recipes.open_dialogues import LABELS
from tools.training.tasks.score_fusion import FusionSettings
from tools.training.tasks.statistics_head import HeadSettings
from tools.training.tasks.text import TextSettings
from tools.training.tasks.whisper_weights import pretrained_whisper, read_arrays

RATE = 16_000
TEXT = TextSettings(epochs=1, utterances=16, tokens=64)
SETTINGS = LabelSettings(
    head=HeadSettings(epochs=2, draws=64, batch=16, hidden=16, calm=0.2),
    text=TEXT,
    talk=TEXT,
    fusion=FusionSettings(steps=5, window=3, casts=1, clip_calls=4, calm_calls=2),
)


def tone(seconds, hertz=150.0):
    time = np.arange(int(seconds * RATE)) / RATE
    return 0.3 * np.sin(2 * np.pi * hertz * time) * (np.sin(9 * time) > -0.8)


def add_calm_speech_and_noise(folder):
    """Readers whom nobody labelled, some of whom are kept apart, and noises of both parts."""
    with (folder / "manifest.csv").open("a") as manifest:
        for number in range(8):
            soundfile.write(folder / f"reader{number}.wav", tone(3.0), RATE)
            manifest.write(f"reader{number}.wav,librispeech_mini,reader{number},,,,train\n")
        rng = np.random.default_rng(1)
        for part in ("train", "dev"):
            wave = 0.1 * rng.standard_normal(2 * RATE)
            soundfile.write(folder / f"noise_{part}.wav", wave, RATE)
            manifest.write(f"noise_{part}.wav,noise,room,,,,{part}\n")


def record_calls(folder, events):
    """Four recordings, and where their utterances are."""
    folder.mkdir()
    events.mkdir()
    for name in ("asr_text", "call_desk", "meet_hall", "tel_home"):
        soundfile.write(folder / f"{name}.ogg", tone(6.0), RATE)
        lines = [{"type": "session_started", "source": f"{name}.ogg", "channels": ["mono"]}]
        lines += [
            {"type": "utterance", "channel": "mono", "start": start, "end": start + 1.5}
            for start in (0.5, 3.0)
        ]
        (events / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)))


def write_table(folder, columns, rows):
    folder.mkdir(parents=True)
    with gzip.open(folder / "utterances.csv.gz", "wt", newline="") as file:
        csv.writer(file).writerows([columns, *rows])


def write_texts(folder):
    said = [(small_world.SAID[emotion], emotion, emotion) for emotion in small_world.EMOTIONS]
    comments = [[part, *row] for part in ("train", "dev") for row in said]
    write_table(folder / "goemotions", ["split", "text", "emotion", "emotion4"], comments)
    rated = [["train", "so very happy", 4.0, 4.0], ["train", "i am sad today", 2.0, 2.5]]
    write_table(folder / "emobank", ["split", "text", "valence", "arousal"], rated)


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    """Networks of a few thousand weights take thirty times as long where threads wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def load(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labels")
    world = small_world.world(folder / "data")
    add_calm_speech_and_noise(world / "speech")
    record_calls(world / "calls", folder / "events")
    write_texts(world / "text")
    terms = TERMS["streamer-en-2"]
    events, cache = folder / "events", folder / "cache"
    return lambda heard, share=1.0: LabelData(world, events, cache, terms, heard, share)


@pytest.fixture(scope="module")
def data(load):
    return load({})


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = make_whisper(tmp_path_factory.mktemp("whisper") / "tiny")
    arrays = read_arrays(folder / "model.bin")
    width, mels, _ = arrays["encoder/conv1/weight"].shape
    config = WhisperConfig(
        mels=mels,
        width=width,
        heads=int(arrays["encoder/num_heads"]),
        layers=1,
        feed_forward=len(arrays["encoder/layer_0/ffn/linear_0/weight"]),
        positions=len(arrays["encoder/position_encodings/encodings"]),
        pooled=(1,),
        hidden=SETTINGS.head.hidden,
    )
    return lambda: pretrained_whisper(folder, config)


@pytest.fixture(scope="module")
def train(data, encoder, tmp_path_factory):
    kept = tmp_path_factory.mktemp("statistics")

    def call(out):
        start = small_world.text_start()
        return train_labels(data, encoder(), SETTINGS, out, kept, seed=3, start=start)

    return call


@pytest.fixture(scope="module")
def trained(train, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    train(out)
    return out


def test_makes_a_whole_bundle(trained):
    bundle = Bundle.load(trained)
    assert bundle.labels == ("angry", "happy", "sad", "neutral")
    assert bundle.modalities == ("audio", "text")
    assert set(bundle.thresholds) == {"angry", "happy", "sad"}
    assert bundle.threshold == min(bundle.thresholds.values())


def test_the_card_says_how_it_was_made(trained):
    card = Bundle.load(trained).card
    assert "not for commercial use" in card
    assert "--seed 3" in card
    assert "{" not in card


def test_measures_what_no_head_has_learnt_from(trained, data):
    figures = json.loads((trained / "figures.json").read_text())
    assert figures["parts"]["speech, whole"]["n"] == 16
    assert figures["parts"][FOLDS]["n"] == len(data.groups["labelled"])
    assert set(figures["doubt"]) == {"noise"}
    recorded = {name: rates["n"] for name, rates in figures["calm"].items() if "record" in name}
    assert recorded == {"recorded conversations": 6, "recorded readings": 2, CROSSED: 6}


def test_finished_stages_are_kept_and_equal_seeds_give_equal_bundles(train, trained):
    whole = (trained / "weights.safetensors").read_bytes()
    (trained / "weights.safetensors").unlink()
    train(trained)
    assert (trained / "weights.safetensors").read_bytes() == whole


def test_a_trial_learns_from_a_share_of_the_clips_and_measures_on_all(load, data):
    trial = load({}, 0.5)
    learnt, all_of_them = set(trial.groups["labelled"]), set(data.groups["labelled"])
    assert learnt < all_of_them
    assert trial.groups["development"] == data.groups["development"]
    fewer = SETTINGS.drawing(0.5)
    assert (fewer.head.draws, fewer.text.utterances) == (32, 8)


def test_a_quarter_of_the_talk_is_what_a_recogniser_heard(load, data):
    before = data.talk_texts()
    sad = next(text for text in before.texts if text.startswith(small_world.SAID["sad"]))
    after = load({sad: "eye am sat two day", "never said": "whatever"}).talk_texts()
    heard = slice(len(before.texts), None)
    assert set(after.texts[heard]) == {"eye am sat two day"}
    assert {LABELS[place] for place in after.targets[heard]} == {"sad"}
    assert after.weights[heard].sum() == pytest.approx(0.25 * after.weights.sum())

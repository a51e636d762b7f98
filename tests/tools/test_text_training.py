"""The text stage and the noise it learns from: as much of it as asked for, repeatable, resumable, useful."""

import numpy as np
import pytest
import torch

from streamer.errors import UserError
from tests.tools.interruption import KilledError, kill_after
from tests.tools.small_world import SAID, text_start
from tools.training.tasks.text import (
    LabelledTexts,
    TextSettings,
    embed_texts,
    load_text_stage,
    systematic_draw,
    train_text,
)
from tools.training.tasks.text_noise import RecogniserNoise, sound_of

TEXTS = [
    "I can not hear you, can you say that again?",
    "Two of them were there, and the others went to see their friends.",
    "No! Do not leave me here. I need to know where he is.",
    "They ate four pears at eight and read the red book by the sea.",
] * 40


def edits(reference, heard):
    """Words put in, left out or replaced, at least (Levenshtein)."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(reference, start=1):
        previous, row[0] = row[0], i
        for j, other in enumerate(heard, start=1):
            previous, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, previous + (word != other))
    return row[-1]


def words(text):
    return [word.strip(".,!?").lower() for word in text.split()]


@pytest.mark.parametrize("rate", [0.1, 0.3, 0.6])
def test_the_word_error_rate_is_about_the_one_asked_for(rate):
    noise = RecogniserNoise(TEXTS)
    rng = np.random.default_rng(0)
    wrong = sum(edits(words(text), words(noise(text, rate, rng))) for text in TEXTS)
    assert wrong / sum(len(words(text)) for text in TEXTS) == pytest.approx(rate, rel=0.2)


def test_no_errors_but_punctuation_at_rate_zero():
    noise = RecogniserNoise(TEXTS)
    rng = np.random.default_rng(0)
    assert all(words(noise(text, 0.0, rng)) == words(text) for text in TEXTS)


def test_words_that_sound_alike_have_one_key():
    assert sound_of("there") == sound_of("their")
    assert sound_of("ate") == sound_of("eight")
    assert sound_of("pear") == sound_of("bear")
    assert sound_of("pear") != sound_of("friend")


def test_noise_takes_any_text():
    noise = RecogniserNoise([])
    rng = np.random.default_rng(0)
    assert noise("", 1.0, rng) == ""
    assert isinstance(noise("?! 東京 🙂 e=mc2", 1.0, rng), str)


def test_draws_follow_the_weights():
    weights = np.array([1.0, 3.0, 0.0, 4.0])
    drawn = systematic_draw(weights, 80, np.random.default_rng(0))
    assert np.bincount(drawn, minlength=4).tolist() == [10, 30, 0, 40]


def data():
    labels = list(SAID)
    texts = [f"{said} today" for said in SAID.values()] * 8
    targets = np.array([i % len(labels) for i in range(len(texts))], np.int64)
    return LabelledTexts(texts, targets, np.ones(len(texts)))


SETTINGS = TextSettings(epochs=3, utterances=None, tokens=64, head_rate=3e-3, noisy=0.2)


def train(out, *, epochs=3, resume=False, seed=1):
    from dataclasses import replace

    return train_text(
        data(),
        tuple(SAID),
        out,
        seed=seed,
        resume=resume,
        settings=replace(SETTINGS, epochs=epochs),
        noise=RecogniserNoise(data().texts),
        start=text_start(),
    )


def test_it_learns_and_what_is_loaded_is_what_was_trained(tmp_path):
    encoder, head = train(tmp_path, epochs=12)
    loaded, loaded_head, tokenizer = load_text_stage(tmp_path)
    embedded = embed_texts(encoder, tokenizer, data().texts)
    assert (head(embedded).argmax(1).numpy() == data().targets).mean() > 0.9
    torch.testing.assert_close(embed_texts(loaded, tokenizer, data().texts), embedded)
    torch.testing.assert_close(loaded_head.weight, head.weight)


def test_a_text_is_embedded_alike_in_any_company(tmp_path):
    encoder, tokenizer = text_start()
    alone = embed_texts(encoder.eval(), tokenizer, ["so very happy"])
    among = embed_texts(encoder, tokenizer, ["no", "i am so very sad today !", "so very happy"])
    torch.testing.assert_close(alone[0], among[2], atol=1e-5, rtol=1e-5)


def test_resumes_an_interrupted_training_to_equal_weights(tmp_path, monkeypatch):
    whole, _ = train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        kill_after(patch, 2)
        with pytest.raises(KilledError):
            train(tmp_path / "part")
    resumed, _ = train(tmp_path / "part", resume=True)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(resumed.state_dict()[name], tensor, rtol=0, atol=0, msg=name)


def test_a_finished_stage_of_another_run_is_not_taken(tmp_path):
    train(tmp_path, epochs=1)
    with pytest.raises(UserError, match="train without --resume"):
        train(tmp_path, epochs=1, seed=2, resume=True)

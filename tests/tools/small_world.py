"""Data in the form of the real ones, a thousandth of their size: tones for voices, a dozen words for talk."""

import csv
import gzip

import numpy as np
import soundfile
import torch

from streamer_models.encoders.bert_gru import BertGru
from streamer_models.tokenizer import TextTokenizer
from tests.models.tiny_bundle import TEXT, WORDS, tokenizer_definition

EMOTIONS = ("angry", "happy", "sad", "neutral")
HERTZ = dict(zip(EMOTIONS, (900.0, 600.0, 200.0, 400.0), strict=True))
SAID = {"angry": "no no !", "happy": "so very happy", "sad": "i am sad today", "neutral": "fine"}


def speech(folder):
    """Two speakers of each part, two clips of each emotion by each."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    lines = ["path,corpus,speaker,gender,emotion,emotion4,split\n"]
    for part, speakers in (("train", ("ann", "bob")), ("dev", ("cid", "dot"))):
        for speaker in speakers:
            for emotion in EMOTIONS:
                for take in range(2):
                    path = f"{speaker}_{emotion}_{take}.wav"
                    time = np.arange(int(16_000 * rng.uniform(0.4, 1.3))) / 16_000
                    wave = 0.3 * np.sin(2 * np.pi * HERTZ[emotion] * time)
                    soundfile.write(
                        folder / path, wave + 0.01 * rng.standard_normal(len(time)), 16_000
                    )
                    sex = "female" if speaker in ("ann", "dot") else "male"
                    lines.append(f"{path},tones,{speaker},{sex},{emotion},{emotion},{part}\n")
    (folder / "manifest.csv").write_text("".join(lines))


def dialogues(folder, *, count=4, seed=0):
    """Dialogues of two speakers, three of four for training; now and then an emotion which is none of ours."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(seed)
    with gzip.open(folder / "utterances.csv.gz", "wt", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(
            ["split", "dialogue_id", "turn", "speaker", "text", "emotion", "emotion4", "in_meld"]
        )
        for part, number in (("train", count), ("val", 2)):
            for dialogue in range(number):
                for turn in range(5):
                    emotion = EMOTIONS[int(rng.integers(4))]
                    other = turn == 2
                    row = ["surprise", ""] if other else [emotion, emotion]
                    text = f"{SAID[emotion]} {WORDS[int(rng.integers(len(WORDS)))]}"
                    writer.writerow(
                        [part, f"{part}{dialogue}", turn, "AB"[turn % 2], text, *row, ""]
                    )


def world(folder):
    """All that the bundle is trained on."""
    speech(folder / "speech")
    for seed, name in enumerate(("meld", "emorynlp", "dailydialog")):
        dialogues(folder / "conversations" / name, seed=seed)
    return folder


def text_start(seed=0):
    """A text encoder of a few thousand parameters to begin with, and its tokenizer."""
    torch.manual_seed(seed)
    return BertGru(TEXT), TextTokenizer(tokenizer_definition(), TEXT.max_tokens)

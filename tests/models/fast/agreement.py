"""Predictions of the shipped bundle by its plain networks and by their fast forms, on real speech and real talk."""

import csv
import gzip
from itertools import groupby
from pathlib import Path

import soundfile
import torch

from streamer_models.bundle import Bundle, find_bundle
from streamer_models.memory import UtteranceEmbedding
from tests.models.tiny_bundle import classify_next

CHUNK = 7680


class Sides:
    """The same bundle twice."""

    def __init__(self) -> None:
        bundle = Bundle.load(find_bundle("streamer-en-1"))
        self._plain = bundle.model
        self._tokenizer = bundle.tokenizer
        self._new_stream = bundle.audio_streams()
        self._embed = bundle.text_embedder()
        self._classifiers = bundle.classifier(fast=False), bundle.classifier()

    @torch.inference_mode()
    def hear(self, wave):
        """Both audio embeddings of samples."""
        stream = self._new_stream()
        for start in range(0, len(wave), CHUNK):
            stream.push(wave[start : start + CHUNK])
        return self._plain.audio(torch.from_numpy(wave)[None])[0], stream.embedding()

    @torch.inference_mode()
    def read(self, text):
        """Both embeddings of a text."""
        return self._plain.text(*self._tokenizer([text]))[0], self._embed([text])[0]

    def classify(self, utterances):
        """Both predictions of each utterance of a conversation: of pairs of `UtteranceEmbedding`."""
        states = [classifier.new_state() for classifier in self._classifiers]
        for pair in utterances:
            yield tuple(map(classify_next, self._classifiers, states, pair))


def clips(shared: Path, every: int):
    """Samples of each so many-th clip of speech."""
    with (shared / "speech" / "manifest.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["corpus"] != "noise"]
    for row in rows[::every]:
        samples, _ = soundfile.read(
            shared / "speech" / row["path"], dtype="float32", always_2d=True
        )
        yield samples[:, 0].copy()


def dialogues(shared: Path, name: str, every: int):
    """Speakers and texts of each so many-th dialogue of a set of conversations."""
    path = shared / "conversations" / name / "utterances.csv.gz"
    with gzip.open(path, "rt", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    groups = [list(group) for _, group in groupby(rows, key=lambda row: row["dialogue_id"])]
    for group in groups[::every]:
        speakers = {name: i for i, name in enumerate(dict.fromkeys(r["speaker"] for r in group))}
        yield [(speakers[row["speaker"]], row["text"]) for row in group]


def classified_clips(sides: Sides, shared: Path, every: int):
    """Pairs of predictions of clips, each alone."""
    for wave in clips(shared, every):
        yield from sides.classify(
            [tuple(UtteranceEmbedding(0, audio=audio) for audio in sides.hear(wave))]
        )


def classified_dialogues(sides: Sides, shared: Path, name: str, every: int):
    """Pairs of predictions of written dialogues, turn by turn."""
    for turns in dialogues(shared, name, every):
        yield from sides.classify(
            [
                tuple(UtteranceEmbedding(speaker, text=vector) for vector in sides.read(text))
                for speaker, text in turns
            ]
        )

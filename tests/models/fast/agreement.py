"""Judgements of the shipped bundle by its plain networks and by those for the stream, on real speech and real talk."""

import csv
import gzip
from itertools import groupby
from pathlib import Path

import soundfile
import torch

from streamer_models.bundle import Bundle, find_bundle
from streamer_models.memory import Embedded, Judge
from streamer_models.streaming import AudioStream

CHUNK = 7680


class Sides:
    """The same bundle twice."""

    def __init__(self) -> None:
        bundle = Bundle.load(find_bundle("streamer-en-1"))
        self._plain = bundle.model
        self._tokenizer = bundle.tokenizer
        self._hearing, self._reader = bundle.hearing(), bundle.reader()
        self._judges = Judge(bundle.model, bundle.calibration, bundle.threshold), bundle.judge()

    @torch.inference_mode()
    def hear(self, wave):
        """Both audio embeddings of samples."""
        stream = AudioStream(self._hearing)
        for start in range(0, len(wave), CHUNK):
            stream.push(wave[start : start + CHUNK])
        return self._plain.audio(torch.from_numpy(wave)[None])[0], stream.embedding()

    @torch.inference_mode()
    def read(self, text):
        """Both embeddings of a text."""
        return self._plain.text(*self._tokenizer([text]))[0], self._reader([text])[0]

    def judge(self, utterances):
        """Both judgements of each utterance of a conversation: of pairs of `Embedded`."""
        states = [judge.new_state() for judge in self._judges]
        for pair in utterances:
            yield tuple(
                judge.step(state, utterance)
                for judge, state, utterance in zip(self._judges, states, pair, strict=True)
            )


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


def judged_clips(sides: Sides, shared: Path, every: int):
    """Pairs of judgements of clips, each alone."""
    for wave in clips(shared, every):
        yield from sides.judge([tuple(Embedded(0, audio=audio) for audio in sides.hear(wave))])


def judged_dialogues(sides: Sides, shared: Path, name: str, every: int):
    """Pairs of judgements of written dialogues, turn by turn."""
    for turns in dialogues(shared, name, every):
        yield from sides.judge(
            [
                tuple(Embedded(speaker, text=vector) for vector in sides.read(text))
                for speaker, text in turns
            ]
        )

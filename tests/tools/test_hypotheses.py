"""Texts that are spoken and recognised: equal texts sound equal, and an interrupted run goes on."""

import json
import shutil

import numpy as np
import pytest

from streamer.errors import UserError
from streamer.transcription import Transcript
from tools.data import hypotheses
from tools.data.augmentation import Augmentation
from tools.data.hypotheses import Speaker, extend, read_hypotheses


class Counting:
    """A recogniser that hears how long something is, and nothing in what is short."""

    name = "counting"

    def __init__(self):
        self.calls = 0

    def transcribe(self, samples, *, language):
        self.calls += 1
        text = f"{len(samples)} samples" if len(samples) > 20_000 else ""
        return Transcript(text, "ok" if text else "rejected", language)

    def close(self):
        pass


@pytest.fixture(scope="module")
def speaker():
    if not shutil.which("espeak-ng") or not shutil.which("flite"):
        pytest.skip("espeak-ng and flite are not installed")
    return Speaker(Augmentation([], [], hypotheses.CONDITIONS))


def test_equal_texts_sound_equal(speaker):
    (voice, wave), (again, same) = (speaker.speak("That is so kind of you.") for _ in range(2))
    assert voice == again
    assert np.array_equal(wave, same)
    assert len(wave) > 10_000


def test_a_text_is_never_an_option(speaker):
    assert len(speaker.speak("--help -v")[1]) > 1_000


def test_an_interrupted_run_goes_on(speaker, tmp_path):
    out, recogniser = tmp_path / "said.jsonl", Counting()
    texts = ["I am terribly sorry about all of this.", "No."]
    extend(out, texts[:1], speaker, recogniser)
    extend(out, texts, speaker, recogniser)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["text"] for row in rows] == texts
    assert recogniser.calls == 2
    assert list(read_hypotheses(out)) == texts[:1]


def test_what_is_no_file_of_hypotheses_is_one_clear_line(tmp_path):
    (tmp_path / "bad").write_text("not json")
    for name in ("bad", "missing"):
        with pytest.raises(UserError, match="not a file of hypotheses"):
            read_hypotheses(tmp_path / name)


def test_a_missing_synthesizer_is_one_clear_line():
    with pytest.raises(UserError, match="is not installed"):
        hypotheses._run(["no-such-synthesizer"])

"""The word error rate of a folder of recordings."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.errors import UserError
from streamer.settings.tree import Settings
from streamer.transcription import Transcript
from tools.command_line import dispatch
from tools.evaluate.__main__ import COMMANDS
from tools.evaluate.transcription import (
    Heard,
    edit_distance,
    find_recordings,
    hear,
    report,
    words_of,
)

texts = st.lists(st.sampled_from("abc"), max_size=8)


class Parrot:
    """Says the same of every utterance."""

    name = "parrot"

    def __init__(self, text, status="ok"):
        self.transcript = Transcript(text, status)

    def transcribe(self, samples, *, language):
        return self.transcript


def heard(words=10, errors=0, **other):
    return Heard(words, errors, **{"utterances": 2, "rejected": 0, "seconds": 4, "busy": 1} | other)


@pytest.mark.parametrize(
    ("said", "distance"),
    [
        ("the cat sat", 0),
        ("the cat", 1),
        ("a cat sat", 1),
        ("the the cat sat", 1),
        ("", 3),
        ("dogs ran off quickly", 4),
    ],
)
def test_the_edit_distance_counts_words(said, distance):
    assert edit_distance(["the", "cat", "sat"], said.split()) == distance


@given(texts, texts)
def test_the_edit_distance_is_a_distance(one, other):
    distance = edit_distance(one, other)
    assert (distance == 0) == (one == other)
    assert distance == edit_distance(other, one)
    assert abs(len(one) - len(other)) <= distance <= max(len(one), len(other))


def test_case_punctuation_and_speakers_do_not_count():
    text = "Anna: Well-known? It\u2019s “fine”, 42 times.\nBen: Oh -- it's fine!\n"
    assert words_of(text) == ["well", "known", "it's", "fine", "42", "times", "oh", "it's", "fine"]


def test_the_rate_is_pooled_over_words_not_averaged_over_files():
    result = report([heard(words=90, errors=0), heard(words=10, errors=10)])
    assert result["wer"]["value"] == 0.1
    assert result["wer"]["low"] == 0.0
    assert result["wer"]["high"] == 1.0
    assert result["real_time_factor"] == 0.25


def test_a_single_recording_has_no_interval():
    assert report([heard(errors=3)])["wer"] == {"value": 0.3, "low": None, "high": None}


def test_rejected_text_is_missing_text(shared_data):
    from tools.data.decoding import decode

    samples = decode(shared_data / "calls" / "asr_LJ001-0002.ogg")
    reference = ["in", "being", "comparatively", "modern"]
    parrot = hear(samples, reference, Parrot("in being comparatively modern"), Settings())
    assert (parrot.errors, parrot.utterances, parrot.rejected) == (0, 1, 0)
    silent = hear(samples, reference, Parrot("", "rejected"), Settings())
    assert (silent.errors, silent.rejected) == (4, 1)


def test_silence_has_no_utterances():
    result = report([hear(np.zeros(16000, np.float32), ["word"], Parrot("word"), Settings())])
    assert result["utterances"] == 0
    assert result["rejected"] is None
    assert result["wer"]["value"] == 1.0


def test_a_folder_without_texts_is_an_error(tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        find_recordings(tmp_path / "absent")
    (tmp_path / "one.ogg").touch()
    with pytest.raises(UserError, match=r"FILE\.txt"):
        find_recordings(tmp_path)
    (tmp_path / "one.txt").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UserError, match=r"one\.txt"):
        find_recordings(tmp_path)


def test_the_command_writes_what_it_prints(shared_data, tmp_path, capsys):
    for suffix in (".ogg", ".txt"):
        file = shared_data / "calls" / f"asr_LJ001-0002{suffix}"
        (tmp_path / file.name).write_bytes(file.read_bytes())
    code = dispatch(
        "evaluate",
        "",
        COMMANDS,
        [
            "transcription",
            "--data",
            str(tmp_path),
            "--asr",
            "none",
            "--json",
            str(tmp_path / "out.json"),
        ],
    )
    assert code == 0
    result = json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))
    assert result["asr"] == "none"
    assert result["wer"]["value"] == 1.0
    assert result["groups"]["file"]["asr_LJ001-0002.ogg"]["words"] == 4
    assert "asr_LJ001-0002.ogg" in capsys.readouterr().out

import json

import numpy as np
import pytest
import soundfile

from streamer.settings.tree import Segmentation
from tools.command_line import dispatch
from tools.evaluate.__main__ import COMMANDS
from tools.evaluate.detection import Channel, boundaries, count, measured, merged, rates
from tools.evaluate.segmentation import evaluate


def run(*arguments):
    return dispatch("evaluate", "", COMMANDS, ["segmentation", *map(str, arguments)])


def channel(reference, said, seconds=10.0):
    return Channel(seconds, reference, said, said)


def test_frames_are_counted_by_their_middle():
    counts = count(channel([(1.0, 3.0)], [(2.0, 3.5)]), [(2.0, 3.5)])
    np.testing.assert_array_equal(counts, [100, 100, 50, 750])


def test_measures_by_their_definition():
    values = rates(np.array([100.0, 100.0, 50.0, 750.0]))
    assert values["f1"] == pytest.approx(200 / 350)
    assert values["miss"] == 0.5
    assert values["false_alarm"] == 50 / 800


def test_files_are_pooled_by_their_frames():
    result = measured(np.array([[100.0, 0, 0, 0], [0, 100, 0, 300]]))
    assert result["miss"]["value"] == 0.5
    assert result["miss"]["low"] <= 0.5 <= result["miss"]["high"]


def test_what_has_no_silence_has_no_false_alarms():
    spoken = {"a.ogg": [channel([(0, 10)], [(0, 10)])]}
    result = evaluate(spoken, Segmentation())
    assert result["f1"]["value"] == 1
    assert result["false_alarm"] == {"value": None, "low": None, "high": None}


@pytest.mark.parametrize(
    ("apart", "expected"), [(0.0, [(0, 2), (2.5, 3)]), (0.5, [(0, 3)])], ids=["touching", "near"]
)
def test_spans_become_one(apart, expected):
    assert merged([(2.5, 3), (1, 2), (0, 1.5)], apart=apart) == expected


class TestBoundaries:
    def test_of_an_utterance_found(self):
        result = boundaries([channel([(2, 4)], [(1.7, 4.1)])], 0.5)
        assert result["found"] == 1
        assert result["start"]["median"] == -0.3
        assert result["end"]["median"] == 0.1
        assert result["late"] == 0

    def test_of_one_that_begins_within_the_first_word(self):
        assert boundaries([channel([(2, 4)], [(2.2, 4.1)])], 0.5)["late"] == 1

    def test_of_one_that_swallows_two(self):
        result = boundaries([channel([(2, 4), (6, 7)], [(1.9, 7.2)])], 0.5)
        assert result["merged"] == 1
        assert result["start"]["median"] == -0.1
        assert result["end"]["median"] == 0.2

    def test_of_one_in_two_parts(self):
        result = boundaries([channel([(2, 6)], [(1.9, 4), (4, 6.2)])], 0.5)
        assert (result["start"]["median"], result["end"]["median"]) == (-0.1, 0.2)

    def test_of_none(self):
        result = boundaries([channel([(2, 4)], [])], 0.5)
        assert result["found"] == 0
        assert result["start"]["median"] is None


def test_the_default_detector_reaches_its_goal(shared_data, tmp_path, capsys):
    file = tmp_path / "figures" / "segmentation.json"
    assert run("--data", shared_data / "calls", "--json", file) == 0
    result = json.loads(file.read_text())
    assert result["f1"]["value"] >= 0.92
    assert result["false_alarm"]["value"] <= 0.15
    assert result["utterances"]["f1"]["value"] >= 0.92
    assert result["utterances"]["false_alarm"]["value"] <= 0.15
    assert len(result["groups"]["file"]) == 13
    assert "tel_pyannote_sample" in capsys.readouterr().out


def test_silence_that_is_called_speech_is_missed_throughout(tmp_path):
    soundfile.write(tmp_path / "still.wav", np.zeros((32_000, 2)), 16_000)
    (tmp_path / "still.rttm").write_text("SPEAKER still 2 0.5 1.0 <NA> <NA> nobody <NA> <NA>\n")
    assert run("--data", tmp_path, "--json", tmp_path / "out.json") == 0
    result = json.loads((tmp_path / "out.json").read_text())
    assert result["miss"]["value"] == 1
    assert result["false_alarm"]["value"] == 0
    assert result["seconds"] == 4


def test_mistakes_are_one_line(tmp_path, capsys):
    assert run("--data", tmp_path / "nowhere") == 2
    (tmp_path / "text.ogg").write_text("no audio")
    (tmp_path / "text.rttm").touch()
    assert run("--data", tmp_path) == 2
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2
    assert "nowhere" in said[0]
    assert "text.ogg" in said[1]

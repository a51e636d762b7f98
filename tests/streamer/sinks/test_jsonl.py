"""JSON lines: whole lines only, added to what is there."""

import json
from datetime import UTC, datetime

import pytest

from streamer import events
from streamer.errors import UserError
from streamer.sinks.jsonl import JsonlSink


def error(seq, message="m"):
    return events.Error(session="s", seq=seq, time=datetime.now(UTC), part="p", message=message)


async def test_each_event_is_a_line_the_moment_it_is_emitted(tmp_path):
    path = tmp_path / "events.jsonl"
    async with JsonlSink(path) as sink:
        for seq in range(3):
            await sink.emit(error(seq, "line\nbreak, ünïcode"))
            lines = path.read_text().splitlines()
            assert [json.loads(line)["seq"] for line in lines] == list(range(seq + 1))


async def test_sessions_are_added_to_the_file(tmp_path):
    path = tmp_path / "events.jsonl"
    for seq in range(2):
        async with JsonlSink(path) as sink:
            await sink.emit(error(seq))
    assert len(path.read_text().splitlines()) == 2


async def test_a_line_broken_by_a_crash_does_not_spoil_the_next(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"seq": 0}\n{"se')
    async with JsonlSink(path) as sink:
        await sink.emit(error(1))
    assert json.loads(path.read_text().splitlines()[-1])["seq"] == 1


async def test_a_place_that_cannot_be_written_is_one_clear_line(tmp_path):
    with pytest.raises(UserError, match="no such file or directory"):
        await JsonlSink(tmp_path / "none" / "events.jsonl").__aenter__()
    with pytest.raises(UserError, match="is a directory"):
        await JsonlSink(tmp_path).__aenter__()

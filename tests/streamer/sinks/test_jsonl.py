"""JSON lines: whole lines only, added to what is there."""

import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path

import pytest

from streamer import events
from streamer.errors import UserError
from streamer.sinks import descriptor
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
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file exists"):
        await JsonlSink(f"{tmp_path}/file/").__aenter__()


async def test_a_folder_gets_a_new_file_for_each_conversation(tmp_path):
    for _ in range(2):
        async with JsonlSink(f"{tmp_path}/calls/") as sink:
            await sink.emit(error(0))
    async with JsonlSink(tmp_path / "calls") as sink:
        await sink.emit(error(0).model_copy(update={"session": "../b é"}))
    names = sorted(path.name for path in (tmp_path / "calls").iterdir())
    assert names == ["_b__.jsonl", "s-2.jsonl", "s.jsonl"]
    assert len((tmp_path / "calls" / "s.jsonl").read_text().splitlines()) == 1


async def test_a_file_that_was_moved_away_is_opened_again(tmp_path):
    path = tmp_path / "events.jsonl"
    async with JsonlSink(path) as sink:
        await sink.emit(error(0))
        path.rename(tmp_path / "events.jsonl.1")
        sink.reopen()
        await sink.emit(error(1))
    assert json.loads(path.read_text())["seq"] == 1
    assert json.loads((tmp_path / "events.jsonl.1").read_text())["seq"] == 0


async def test_a_slow_reader_of_a_pipe_does_not_hold_up_the_event_loop(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    async with JsonlSink(path) as sink:
        writing = asyncio.create_task(sink.emit(error(0, "m" * 200_000)))
        turns = 0
        while turns < 20:
            await asyncio.sleep(0.01)
            turns += 1
        assert not writing.done()
        writing.cancel()  # and it can be given up
        with pytest.raises(asyncio.CancelledError):
            await writing
    os.close(reader)


async def test_a_pipe_whose_reader_leaves_is_an_error(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    async with JsonlSink(path) as sink:
        os.close(reader)
        with pytest.raises(BrokenPipeError):
            await sink.emit(error(0))


async def test_a_full_disk_is_an_error():
    async with JsonlSink(Path("/dev/full")) as sink:
        with pytest.raises(OSError, match="No space left"):
            await sink.emit(error(0))


async def test_a_pipe_that_nobody_reads_is_one_clear_line(tmp_path, monkeypatch):
    monkeypatch.setattr(descriptor, "_READER_WAIT", 0.1)
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="nobody reads this pipe"):
        await JsonlSink(tmp_path / "pipe").__aenter__()

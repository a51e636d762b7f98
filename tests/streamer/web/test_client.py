"""`streamer send` against a real server, also one that dies."""

import asyncio
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streamer.cli import main
from tests.streamer.web.serving import SAMPLE, free_port, server, wait_for

pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

from streamer.audio import SAMPLE_RATE
from streamer.web.client import KEPT, _Call


def utterances(path):
    return [
        (event["channel"], event["start"], event["end"])
        for event in map(json.loads, path.read_text().splitlines())
        if event["type"] == "utterance"
    ]


def send(*arguments):
    return main(["send", *arguments, "--channels", "agent,customer", "--quiet"])


@pytest.fixture(scope="module")
def address(random_bundle):
    with server(random_bundle) as (address, _):
        yield address


def test_gives_the_events_of_a_recording(address, tmp_path):
    events = tmp_path / "events.jsonl"
    code = send(str(SAMPLE), "--to", f"ws://{address}", "--speed", "max", "--jsonl", str(events))
    assert code == 0
    lines = [json.loads(line) for line in events.read_text().splitlines()]
    assert lines[0]["type"] == "session_started"
    assert lines[-1]["type"] == "session_ended"
    assert {channel for channel, _, _ in utterances(events)} == {"agent", "customer"}


def test_a_damaged_recording_is_sent_to_its_damage_and_said(address, tmp_path, capsys):
    damaged, events = tmp_path / "cut.ogg", tmp_path / "events.jsonl"
    damaged.write_bytes(SAMPLE.read_bytes()[:60_000])
    code = send(str(damaged), "--to", f"ws://{address}", "--speed", "max", "--jsonl", str(events))
    assert code == 1
    assert "cut.ogg: damaged at" in capsys.readouterr().err
    last = json.loads(events.read_text().splitlines()[-1])
    assert (last["type"], last["reason"]) == ("session_ended", "finished")
    assert last["duration"] > 5
    assert utterances(events)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_loses_nothing_when_the_server_dies_and_comes_back(random_bundle, tmp_path, end):
    whole, received, stored = tmp_path / "whole.jsonl", tmp_path / "got.jsonl", tmp_path / "stored"
    stored.mkdir()
    port = free_port()
    to = ("--to", f"ws://127.0.0.1:{port}", "--session", "call")
    options = ("--set", "live.max_lag=120", "--jsonl", f"{stored}/")
    with server(random_bundle, *options, port=port, cores=2) as (_, first):
        assert send(str(SAMPLE), *to, "--speed", "max", "--jsonl", str(whole)) == 0
        arguments = [str(SAMPLE), *to, "--speed", "8", "--channels", "agent,customer", "--quiet"]
        command = [sys.executable, "-m", "streamer.cli", "send", *arguments]
        with subprocess.Popen([*command, "--jsonl", str(received)]) as sending:
            wait_for(lambda: received.exists() and len(utterances(received)) >= 4, 60)
            first.send_signal(end)
            first.wait(20)
            kept = [*stored.glob("call-2.jsonl")]
            before = utterances(received)
            with server(random_bundle, *options, port=port, cores=2):
                assert sending.wait(60) == 0
    assert set(utterances(whole)) <= set(utterances(received))
    cut = len(utterances(received)) - len(utterances(whole))
    assert cut <= (2 if end == signal.SIGTERM else 0)  # what the stop cut off comes again, whole
    assert set(before) <= {spoken for path in kept for spoken in utterances(path)}


def test_wrong_token_is_one_line(random_bundle, capsys, monkeypatch):
    secret = "a-token-of-some-length"  # noqa: S105
    with server(random_bundle, environment={"STREAMER_WEB_TOKEN": secret}) as (address, _):
        monkeypatch.setenv("STREAMER_WEB_TOKEN", "another-token-of-that-length")
        assert send(str(SAMPLE), "--to", f"ws://{address}", "--speed", "max") == 2
        said = capsys.readouterr().err
        assert said == "streamer: the server refused the conversation: wrong or missing token\n"
        monkeypatch.setenv("STREAMER_WEB_TOKEN", secret)
        short = ["--to", f"ws://{address}", "--speed", "max"]
        assert send(str(SAMPLE), *short) == 0


@pytest.mark.parametrize(
    ("to", "message"),
    [
        ("http://127.0.0.1", "expected ws"),
        ("ws://", "expected ws"),
        ("ws://127.0.0.1:99999", "expected ws"),
        ("ws://127.0.0.1?token=secret", "a token belongs into"),
        ("ws://me:secret@127.0.0.1", "a token belongs into"),
    ],
)
def test_refuses_a_wrong_address(capsys, to, message):
    assert main(["send", str(SAMPLE), "--to", to]) == 2
    said = capsys.readouterr().err
    assert message in said
    assert "secret" not in said


def test_gives_up_after_the_wait(capsys):
    to = f"ws://127.0.0.1:{free_port()}"
    assert main(["send", str(SAMPLE), "--to", to, "--max-wait", "0"]) == 1
    assert "gave up after 0 s" in capsys.readouterr().err


def test_an_interrupt_ends_the_conversation(address, tmp_path):
    events = tmp_path / "events.jsonl"
    command = [sys.executable, "-m", "streamer.cli", "send", str(SAMPLE), "--to", f"ws://{address}"]
    with subprocess.Popen([*command, "--quiet", "--jsonl", str(events)]) as sending:
        wait_for(lambda: events.exists() and events.read_text())
        sending.send_signal(signal.SIGINT)
        assert sending.wait(20) == 130
    last = json.loads(events.read_text().splitlines()[-1])
    assert (last["type"], last["reason"]) == ("session_ended", "finished")


@given(
    st.lists(st.integers(1, SAMPLE_RATE), max_size=60),
    st.lists(st.tuples(st.integers(0, 60), st.integers(0, 70 * SAMPLE_RATE)), max_size=4),
)
def test_goes_back_to_any_position_that_is_kept(lengths, losses):
    total = sum(lengths)

    async def frames():
        at = 0
        for length in lengths:
            yield np.arange(at, at + length, dtype=np.int64)[:, None]
            at += length

    async def play():
        async with _Call(frames()) as call:
            for pieces, position in losses:
                reading, read = aiter(call), 0
                while read < pieces and await anext(reading, None) is not None:
                    read += 1
                begin = call.rewind(position)
                assert begin <= max(position, call._begin)
                assert call._length - max(lengths, default=0) <= KEPT * SAMPLE_RATE
            began = call.rewind(0)
            return began, [int(n) for piece in [p async for p in call] for n in piece[:, 0]]

    began, rest = asyncio.run(play())
    assert rest == [*range(began, total)]

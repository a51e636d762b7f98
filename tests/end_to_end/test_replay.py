"""`streamer replay` as its users run it."""

import json
import os
import signal
import subprocess
import sys
import time

import jsonschema
import numpy as np
import pytest

from streamer import events
from tests.audio_files import write_audio
from tests.end_to_end.conversations import check_promises, two_speakers

SCHEMA = jsonschema.Draft202012Validator(events.json_schema())

LATE = 200
"""Seconds after which a program that should have ended is stuck."""


@pytest.fixture(scope="module")
def call(tmp_path_factory):
    """A stereo call of about ten seconds."""
    return write_audio(tmp_path_factory.mktemp("call") / "call.wav", two_speakers(), 16_000)


@pytest.fixture
def streamer(environment, tmp_path):
    def run(*arguments, **options):
        command = [sys.executable, "-m", "streamer.cli", *map(str, arguments)]
        options = {"capture_output": True, "timeout": LATE, "env": environment} | options
        return subprocess.run(command, cwd=options.pop("cwd", None), check=False, **options)

    return run


def parsed(output):
    lines = output.decode().splitlines()
    for line in lines:
        SCHEMA.validate(json.loads(line))
    return [events.parse(line) for line in lines]


def stripped(output):
    lines = [json.loads(line) for line in output.decode().splitlines()]
    return [{k: v for k, v in e.items() if k not in ("time", "latency_ms")} for e in lines]


def test_a_replay_prints_events_and_nothing_else(streamer, call):
    done = streamer(
        "replay", call, "--speed", "max", "--jsonl", "-", "--channels", "agent,customer"
    )
    assert (done.returncode, done.stderr) == (0, b"")
    heard = parsed(done.stdout)
    check_promises(heard)
    assert heard[0].channels == ["agent", "customer"]
    assert heard[-1].utterances == 4


def test_two_runs_agree_and_so_does_the_pace_of_the_world(streamer, call):
    fast = streamer("replay", call, "--speed", "max", "--jsonl", "-").stdout
    assert stripped(streamer("replay", call, "--speed", "max", "--jsonl", "-").stdout) == stripped(
        fast
    )
    assert stripped(streamer("replay", call, "--speed", "4", "--jsonl", "-").stdout) == stripped(
        fast
    )


def test_raw_samples_from_a_pipe(streamer):
    pcm = (two_speakers() * 32767).astype("<i2").tobytes()
    done = streamer(
        "replay",
        "-",
        "--rate",
        "16000",
        "--channels-in",
        "2",
        "--speed",
        "max",
        "--jsonl",
        "-",
        input=pcm,
    )
    assert done.returncode == 0
    assert parsed(done.stdout)[-1].utterances == 4


def test_several_files_are_several_sessions_in_one_file(streamer, call, tmp_path):
    out = tmp_path / "events.jsonl"
    done = streamer("replay", call, call, "--speed", "max", "--jsonl", out, "--quiet")
    assert (done.returncode, done.stdout) == (0, b"")
    heard = parsed(out.read_bytes())
    half = len(heard) // 2
    check_promises(heard[:half])
    check_promises(heard[half:])


def test_an_archive_gives_each_call_a_file_and_a_bad_one_touches_no_other(streamer, call, tmp_path):
    letter = tmp_path / "letter.wav"
    letter.write_text("Dear customer")
    duplicate = tmp_path / "copy.wav"
    duplicate.write_bytes(call.read_bytes())
    out = tmp_path / "events"
    done = streamer(
        "replay",
        call,
        letter,
        "nowhere.wav",
        duplicate,
        "--speed",
        "max",
        "--jobs",
        "3",
        "--jsonl",
        f"{out}/",
    )
    assert done.returncode == 2
    ours, _ = sorted(out.iterdir())
    assert [path.name.split("-")[0] for path in sorted(out.iterdir())] == ["call", "copy"]
    alone = streamer("replay", call, "--speed", "max", "--jsonl", "-").stdout
    for path in out.iterdir():
        check_promises(parsed(path.read_bytes()))
    assert stripped(ours.read_bytes()) == stripped(alone)
    for name in ("letter.wav: not a recording", "nowhere.wav: no such file"):
        assert name in done.stderr.decode()


def test_away_from_a_terminal_the_table_is_plain_lines(streamer, call):
    done = streamer("replay", call, "--speed", "max")
    lines = done.stdout.decode().splitlines()
    assert "\x1b" not in done.stdout.decode()
    assert sum("channel1" in line and "ms" in line for line in lines) == 2
    assert sum(line.startswith("channel1") for line in lines) == 1, "the figures of the summary"
    assert lines[-1].startswith("finished: 4 utterances")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nowhere.wav",), "nowhere.wav: no such file"),
        ((".",), "is a directory"),
        (("-", "--rate", "1"), "--rate: 1: expected"),
        (("CALL", "--channels", "a,b,c"), "has 2 channels, but 3 names"),
        (("CALL", "--set", "asr.beam_size=0"), "asr.beam_size"),
        (("CALL", "--config", "nowhere.yaml"), "configuration nowhere.yaml: no such file"),
        (("CALL", "--set", "emotion.bundle=nowhere"), "there is no bundle nowhere"),
        (("CALL", "--jsonl", "nowhere/events.jsonl"), "no such file or directory"),
        (("CALL", "--config", "call-centre", "--channels", "left,right"), "agent: exclude"),
    ],
)
def test_mistakes_of_the_user_are_one_line_and_exit_code_2(streamer, call, arguments, message):
    done = streamer("replay", *[call if a == "CALL" else a for a in arguments], "--speed", "max")
    assert done.returncode == 2
    assert done.stdout == b""
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


def test_what_is_not_audio_is_one_line_and_exit_code_2(streamer, tmp_path):
    letter = tmp_path / "letter.wav"
    letter.write_text("Dear customer, " * 1000)
    done = streamer("replay", letter)
    assert done.returncode == 2
    assert "not a recording (no audio format recognised)" in done.stderr.decode()


def test_a_truncated_call_is_told_up_to_the_damage_with_exit_code_1(streamer, call, tmp_path):
    broken = tmp_path / "broken.wav"
    broken.write_bytes(call.read_bytes()[: 4 * 64_000])
    done = streamer("replay", broken, "--speed", "max", "--jsonl", "-")
    heard = parsed(done.stdout)
    check_promises(heard)
    assert done.returncode == 1
    assert heard[-1].reason == "failed"
    assert heard[-1].duration == pytest.approx(4.0, abs=0.05)
    assert sum(e.type == "utterance" for e in heard) == 2


@pytest.mark.parametrize(
    ("number", "reason"), [(signal.SIGINT, "interrupted"), (signal.SIGTERM, "terminated")]
)
def test_a_signal_ends_the_session_properly(environment, tmp_path, number, reason):
    long = write_audio(tmp_path / "long.wav", np.tile(two_speakers(), (6, 1)), 16_000)
    command = [sys.executable, "-m", "streamer.cli", "replay", str(long), "--jsonl", "-"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as program:
        first = program.stdout.readline()
        time.sleep(1.5)
        program.send_signal(number)
        rest, _ = program.communicate(timeout=LATE)
    heard = parsed(first + rest)
    check_promises(heard)
    assert heard[-1].reason == reason
    assert heard[-1].duration < 50
    assert program.returncode == 130


@pytest.fixture
def shell(environment):
    """Runs a line of bash in which $STREAMER is the program."""

    def run(line, **variables):
        return subprocess.run(
            ["bash", "-o", "pipefail", "-c", line],
            capture_output=True,
            timeout=LATE,
            check=False,
            env=environment | {"STREAMER": f"{sys.executable} -m streamer.cli"} | variables,
        )

    return run


@pytest.mark.parametrize("output", ["--jsonl -", ""])
def test_a_reader_that_leaves_early_ends_the_program_quietly(shell, call, output):
    done = shell(f"$STREAMER replay {call} {call} --speed max {output} | head -1")
    assert (done.stdout.count(b"\n"), done.returncode) == (1, 1)
    assert b"Traceback" not in done.stderr


def test_a_full_disk_is_exit_code_1(shell, call):
    done = shell(f"$STREAMER replay {call} --speed max --quiet --jsonl /dev/full")
    assert done.returncode == 1
    assert b"sink jsonl: failed" in done.stderr


def test_closed_standard_streams_cost_nothing_else(shell, call, tmp_path):
    out = tmp_path / "events.jsonl"
    done = shell(f"$STREAMER replay {call} --speed max --jsonl {out} <&- >&- 2>&-")
    assert done.returncode == 0
    check_promises(parsed(out.read_bytes()))
    done = shell(f"$STREAMER replay {call} --speed max --jsonl - >&-")
    assert done.returncode == 2
    assert b"standard output is closed" in done.stderr


def test_a_terminal_that_lacks_characters_still_gets_the_table(shell, call):
    done = shell(f"$STREAMER replay {call} --speed max", PYTHONIOENCODING="latin-1")
    assert done.returncode == 0
    assert done.stdout.count(b"\n") > 5


def test_a_name_that_is_not_utf8_costs_no_event(streamer, call, tmp_path):
    odd = os.path.join(os.fsencode(tmp_path), b"caf\xe9.wav")  # noqa: PTH118 - bytes
    with open(odd, "wb") as copy:  # noqa: PTH123
        copy.write(call.read_bytes())
    done = streamer("replay", os.fsdecode(odd), "--speed", "max", "--jsonl", "-")
    assert done.returncode == 0
    check_promises(parsed(done.stdout))


@pytest.mark.parametrize("option", ["--jsonl", "--mqtt", "--config", "--set"])
def test_an_empty_argument_is_a_mistake(streamer, call, option):
    done = streamer("replay", call, option, "")
    assert (done.returncode, done.stdout) == (2, b"")
    assert done.stderr.decode() == f"streamer: {option}: empty\n"


def test_the_help_says_what_there_is_without_loading_anything_heavy(streamer):
    assert b"replay" in streamer("--help").stdout
    loaded = streamer("--help", env=os.environ | {"PYTHONPROFILEIMPORTTIME": "1"}).stderr.decode()
    for heavy in ("torch", "numpy", "pydantic", "av", "rich"):
        assert f" {heavy}\n" not in loaded


def test_every_recording_of_the_collection_is_a_proper_session(streamer, shared_data, tmp_path):
    files = sorted((shared_data / "calls").glob("*.ogg"))
    assert files
    out = tmp_path / "events.jsonl"
    done = streamer("replay", *files, "--speed", "max", "--jsonl", out, "--quiet", timeout=280)
    assert done.returncode == 0
    sessions = {}
    for event in parsed(out.read_bytes()):
        sessions.setdefault(event.session, []).append(event)
    assert len(sessions) == len(files)
    for heard in sessions.values():
        check_promises(heard)
        assert heard[-1].reason == "finished"

"""`streamer replay --jobs N` on several cores: each recording by one of several processes."""

import asyncio
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from streamer.commands.replay import replay_in_processes
from streamer.errors import UserError
from streamer.settings.tree import Asr, Emotion, Settings
from tests.audio_files import write_audio
from tests.end_to_end.conversations import check_promises, two_speakers
from tests.end_to_end.test_replay import LATE, parsed, stripped

ARCHIVE = ["--speed", "max", "--jobs", "2", "--set", "cores=2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Three calls."""
    folder = tmp_path_factory.mktemp("calls")
    for number in range(3):
        write_audio(folder / f"call{number}.wav", two_speakers(), 16_000)
    return folder


@pytest.fixture
def streamer(environment):
    def run(*arguments):
        command = [sys.executable, "-m", "streamer.cli", "replay", *map(str, arguments)]
        return subprocess.run(
            command, capture_output=True, timeout=LATE, env=environment, check=False
        )

    return run


@pytest.fixture
def settings(random_bundle):
    return Settings(asr=Asr(backend="none"), emotion=Emotion(bundle=str(random_bundle)))


def test_the_events_are_those_of_each_recording_alone(streamer, folder, tmp_path):
    letter = tmp_path / "letter.wav"
    letter.write_text("Dear customer")
    calls = sorted(folder.iterdir())
    done = streamer(*calls, letter, *ARCHIVE, "--jsonl", f"{tmp_path}/events/")
    assert done.returncode == 2
    assert done.stdout == b""
    assert "letter.wav: not a recording" in done.stderr.decode()
    for call in calls:
        (path,) = (tmp_path / "events").glob(f"{call.stem}-*.jsonl")
        written = path.read_bytes()
        check_promises(parsed(written))
        alone = streamer(call, "--speed", "max", "--jsonl", "-").stdout
        assert stripped(written) == stripped(alone)


def test_models_that_cannot_be_loaded_are_told_once(streamer, folder):
    done = streamer(*folder.iterdir(), *ARCHIVE, "--set", "emotion.bundle=nowhere")
    assert done.returncode == 2
    assert done.stderr.decode().count("there is no bundle nowhere") == 1
    assert "Traceback" not in done.stderr.decode()


def test_a_signal_ends_all_sessions_properly(environment, tmp_path):
    long = write_audio(tmp_path / "long.wav", np.tile(two_speakers(), (60, 1)), 16_000)
    calls = [tmp_path / f"call{number}.wav" for number in range(6)]
    for call in calls:
        call.symlink_to(long)
    out = tmp_path / "events"
    command = [sys.executable, "-m", "streamer.cli", "replay", *map(str, calls), *ARCHIVE]
    with subprocess.Popen([*command, "--jsonl", f"{out}/"], env=environment) as process:
        deadline = time.monotonic() + LATE
        while len([*out.glob("*.jsonl")]) < 2 and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(LATE) == 130
    begun = [parsed(path.read_bytes()) for path in out.iterdir()]
    assert len(begun) < len(calls)
    assert any(heard[-1].reason == "terminated" for heard in begun)
    for heard in begun:
        check_promises(heard)


def test_a_process_that_dies_costs_the_recording_that_it_was_busy_with(settings, capfd):
    async def replay(_, file, reached):
        await asyncio.sleep(0)
        reached(0.5)
        if file == "deadly":
            os._exit(1)
        return 0

    recordings = ["first", "deadly", "third", "fourth"]
    assert sorted(replay_in_processes(recordings, 2, settings, replay)) == [0, 0, 0, 1]
    assert "deadly: the worker died (exit code 1)" in capfd.readouterr().err


def test_every_recording_is_tried_even_if_each_ends_its_process(settings, capfd):
    async def replay(*_):
        os._exit(1)

    recordings = ["first", "second", "third"]
    assert replay_in_processes(recordings, 2, settings, replay) == [1, 1, 1]
    assert "third: the worker died" in capfd.readouterr().err


def test_a_refusal_is_the_users_error(settings):
    missing = settings.model_copy(update={"emotion": Emotion(bundle="nowhere")})
    with pytest.raises(UserError, match="there is no bundle nowhere"):
        replay_in_processes(["call"] * 2, 2, missing, None)

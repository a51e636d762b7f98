"""`streamer listen` without a sound card: from a pipe, in a terminal, and when it cannot keep up."""

import contextlib
import os
import pty
import re
import select
import signal
import subprocess
import sys
import termios
import threading
import time

import numpy as np
import pytest
import soundfile

from tests.end_to_end.conversations import (
    check_promises,
    silence,
    two_speakers,
    voice,
)
from tests.end_to_end.listening import LATE, Listening

PIECE = 480


@pytest.fixture(scope="module")
def environment(environment):
    return environment | {"OMP_NUM_THREADS": "1"}


def speak(pipe, signal_):
    """Write samples at the pace of the world, in a thread."""

    def write():
        begun = time.monotonic()
        pcm = (signal_ * 32767).astype("<i2")
        for first in range(0, len(pcm), PIECE):
            time.sleep(max(0.0, begun + first / 16_000 - time.monotonic()))
            try:
                pipe.write(pcm[first : first + PIECE].tobytes())
                pipe.flush()
            except (BrokenPipeError, ValueError):  # the reader has gone, the pipe is closed
                return
        pipe.close()

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def test_a_pipe_is_heard_until_it_ends(environment, tmp_path):
    kept = tmp_path / "kept.flac"
    arguments = ["-", "--channels-in", "2", "--channels", "agent,customer", "--record", kept]
    with Listening(environment, *arguments, stdin=subprocess.PIPE) as listening:
        signal_ = two_speakers()
        listening.until(lambda e: e.type == "session_started")
        writer = speak(listening.process.stdin, signal_)
        heard = listening.rest()
        writer.join()
        assert listening.process.returncode == 0
        assert b"recording to" in listening.stderr
    check_promises(heard)
    assert heard[0].channels == ["agent", "customer"]
    assert heard[-1].reason == "finished"
    assert heard[-1].utterances == 4
    written, _ = soundfile.read(kept)
    assert written.shape == signal_.shape
    assert np.abs(written - signal_).max() < 0.01


def test_it_ends_after_the_duration_asked_for(environment):
    with Listening(environment, "-", "--duration", "1", stdin=subprocess.PIPE) as listening:
        listening.until(lambda e: e.type == "session_started")
        writer = speak(listening.process.stdin, silence(30))
        heard = listening.rest()
        assert listening.process.returncode == 0
        writer.join()
    assert heard[-1].reason == "finished"
    assert heard[-1].duration < 10


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_what_is_being_said_and_the_session(environment, number):
    with Listening(environment, "-", stdin=subprocess.PIPE) as listening:
        writer = speak(listening.process.stdin, voice(60))
        listening.until(lambda e: e.type == "speech_started")
        _, code = listening.end(number)
        writer.join()
        heard = listening.events
    check_promises(heard)
    assert code == 130
    assert heard[-1].utterances >= 1


@pytest.mark.parametrize("apart", [0.0, 0.05])
def test_the_same_signal_twice_at_once_ends_the_session_properly(environment, apart):
    with Listening(environment, "-", stdin=subprocess.PIPE) as listening:
        writer = speak(listening.process.stdin, voice(60))
        listening.until(lambda e: e.type == "session_started")
        listening.process.send_signal(signal.SIGINT)
        time.sleep(apart)
        _, code = listening.end(signal.SIGINT)
        writer.join()
        assert b"Traceback" not in listening.stderr
    check_promises(listening.events)
    assert code == 130


def test_a_conversation_ends_when_nobody_reads_it(environment):
    line = f"{sys.executable} -m streamer.cli listen - --jsonl - | head -1"
    with (
        contextlib.suppress(BrokenPipeError),
        subprocess.Popen(
            ["bash", "-o", "pipefail", "-c", line],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        ) as shell,
    ):
        writer = speak(shell.stdin, np.tile(two_speakers()[:, 0], 8))
        assert shell.stdout.read().count(b"\n") == 1
        assert shell.wait(LATE) == 1
        assert b"Traceback" not in shell.stderr.read()
        writer.join()


@pytest.mark.skipif(
    signal.getsignal(signal.SIGHUP) == signal.SIG_IGN, reason="nohup: programs ignore hang-ups"
)
def test_a_hangup_without_a_terminal_opens_the_file_again(environment, tmp_path):
    path, moved = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    command = [sys.executable, "-m", "streamer.cli", "listen", "-", "--quiet", "--jsonl", path]
    with (
        contextlib.suppress(BrokenPipeError),
        subprocess.Popen(
            command, stdin=subprocess.PIPE, env=environment, start_new_session=True
        ) as program,
    ):
        writer = speak(program.stdin, np.concatenate([silence(1), voice(2), silence(30)]))
        while not (path.exists() and path.stat().st_size):
            assert program.poll() is None
            time.sleep(0.05)
        path.rename(moved)
        program.send_signal(signal.SIGHUP)
        while not path.exists():
            assert program.poll() is None
            time.sleep(0.05)
        program.send_signal(signal.SIGTERM)
        assert program.wait(LATE) == 130
        writer.join()
    assert '"session_started"' in moved.read_text()
    assert '"session_ended"' in path.read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["microphone"], "expected - or NAME://"),
        (["-", "--device", "usb"], "cannot be combined"),
        (["--device", "usb", "--device", "usb"], "named twice"),
        (["--duration", "0"], "more than 0"),
        (["-", "--rate", "1"], "4000 to 384000"),
    ],
)
def test_wrong_arguments_are_one_line(environment, arguments, message):
    done = subprocess.run(
        [sys.executable, "-m", "streamer.cli", "listen", *arguments],
        env=environment,
        stdin=subprocess.PIPE,
        capture_output=True,
        timeout=LATE,
        check=False,
    )
    assert done.returncode == 2
    assert message in done.stderr.decode()
    assert done.stderr.count(b"\n") == 1


class Terminal:
    """A terminal of 80 columns in which a program runs."""

    def __init__(self, environment, *command):
        self._main, self.side = pty.openpty()
        termios.tcsetwinsize(self.side, (24, 80))
        self.before = termios.tcgetattr(self.side)
        self.shown = ""
        inherited = {k: v for k, v in environment.items() if k not in ("COLUMNS", "LINES")}
        self.process = subprocess.Popen(
            command,
            env=inherited | {"TERM": "xterm-256color"},
            stdin=self.side,
            stdout=self.side,
            stderr=self.side,
            start_new_session=True,
            preexec_fn=lambda: __import__("fcntl").ioctl(0, termios.TIOCSCTTY, 0),  # noqa: PLW1509 - its own
        )

    def until(self, text, *, escapes=False):
        deadline = time.monotonic() + LATE
        while text not in (self.shown if escapes else self.plain()):
            assert time.monotonic() < deadline, self.plain()
            if select.select([self._main], [], [], 0.2)[0]:
                self.shown += os.read(self._main, 65536).decode(errors="replace")

    def plain(self):
        return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.shown)

    def press(self, key):
        self.shown = ""
        os.write(self._main, key.encode())

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(LATE)
        os.close(self._main)
        os.close(self.side)


@pytest.fixture
def in_terminal(environment, request):
    """A conversation in a terminal, its audio made by the program itself; the keys are real."""
    program = (
        "import asyncio, sys\n"
        "from tests.end_to_end import talking\n"
        f"sys.exit(asyncio.run(talking.talk({getattr(request, 'param', None)})))\n"
    )
    terminal = Terminal(environment, sys.executable, "-c", program)
    yield terminal
    terminal.close()


def test_a_terminal_whose_size_changes_is_written_anew(in_terminal):
    in_terminal.until("latency p50")
    in_terminal.shown = ""
    termios.tcsetwinsize(in_terminal.side, (24, 44))
    clear = "\x1b[2J"
    in_terminal.until(clear, escapes=True)
    in_terminal.shown = in_terminal.shown.split(clear)[-1]
    in_terminal.until("latency p50")
    lines = re.split(
        r"[\r\n]+", in_terminal.plain()
    )  # a return begins the next of several drawings
    assert lines[0].startswith("endless")
    assert max(map(len, lines)) <= 44


@pytest.mark.parametrize("in_terminal", [4], indirect=True)
def test_a_crash_leaves_the_terminal_as_it_was(in_terminal):
    in_terminal.until("space mark")
    in_terminal.until("TimeoutError")
    in_terminal.until("\x1b[?25h", escapes=True)  # the cursor is back
    assert in_terminal.process.wait(LATE) == 1
    assert termios.tcgetattr(in_terminal.side) == in_terminal.before


def test_keys_steer_and_the_terminal_is_left_as_it_was(in_terminal):
    in_terminal.until("space mark")
    in_terminal.press(" ")
    in_terminal.until("mark ───")
    in_terminal.press("p")
    in_terminal.until("lost (paused)")
    in_terminal.press("p")
    in_terminal.until("● speaker")
    in_terminal.press("q")
    in_terminal.until("finished: ")
    assert in_terminal.process.wait(LATE) == 0
    assert termios.tcgetattr(in_terminal.side) == in_terminal.before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_the_terminal_as_it_was(in_terminal, number):
    in_terminal.until("space mark")
    assert termios.tcgetattr(in_terminal.side) != in_terminal.before
    in_terminal.process.send_signal(number)
    in_terminal.until("utterances in")
    in_terminal.until("\x1b[?25h", escapes=True)  # the cursor is back
    assert in_terminal.process.wait(LATE) == 130
    assert termios.tcgetattr(in_terminal.side) == in_terminal.before

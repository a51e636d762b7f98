"""`streamer listen` without a sound card: from a pipe, in a terminal, and when it cannot keep up."""

import asyncio
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

from streamer.audio import AudioChunk
from streamer.clock import WallClock
from streamer.control import LiveStatus
from streamer.sources import SourceInfo
from streamer.transcription import Transcript
from tests.end_to_end.conversations import (
    Kept,
    check_promises,
    converse,
    engine_for,
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
            time.sleep(0.05)
        path.rename(moved)
        program.send_signal(signal.SIGHUP)
        while not path.exists():
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
        self.process = subprocess.Popen(
            command,
            env=environment | {"TERM": "xterm-256color"},
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
    lines = [line.strip("\r") for line in in_terminal.plain().split("\n")]
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


class Spoken:
    """A live source that speaks at once for as long as it is asked to, never waiting for anybody."""

    def __init__(self, signal_, pace=0.0):
        self._signal = signal_
        self._pace = pace
        self.info = SourceInfo("spoken", ("speaker",), live=True, session="spoken")

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def __aiter__(self):
        for start in range(0, len(self._signal), PIECE):
            yield AudioChunk(0, start, self._signal[start : start + PIECE])
            await asyncio.sleep(self._pace)


class Slow:
    """A recogniser that takes its time."""

    name = "slow"

    def __init__(self, seconds):
        self._seconds = seconds

    def transcribe(self, samples, *, language):
        time.sleep(self._seconds)
        return Transcript("words", "ok", "en")

    def close(self):
        pass


def turns(count):
    parts = [part for n in range(count) for part in (voice(0.8, n), silence(0.8))]
    return np.concatenate([silence(0.5), *parts])


async def live_conversation(engine, source, status=None):

    kept = Kept()
    status = status or LiveStatus()
    await engine.run(source, [kept], WallClock(), status=status)
    return kept.events, status


def test_a_slow_transcriber_costs_transcripts_and_nothing_else(random_bundle):
    bound = 1.0
    with engine_for(random_bundle, Slow(2.5), live__max_lag=bound, ahead=False) as engine:
        events, status = asyncio.run(live_conversation(engine, Spoken(turns(6), pace=0.03)))
    check_promises(events)
    said = [e for e in events if e.type == "utterance"]
    assert len(said) >= 4
    assert {e.text_status for e in said} == {"skipped"}
    assert not [e for e in events if e.type == "gap"]
    assert status.lost == 0
    assert sum("transcription is behind" in e.message for e in events if e.type == "error") == 1


def test_no_utterance_waits_for_its_transcript_beyond_the_bound(random_bundle):
    bound = 4.0
    with engine_for(random_bundle, Slow(6.0), live__max_lag=bound, ahead=False) as engine:
        events, _ = asyncio.run(live_conversation(engine, Spoken(turns(1), pace=0.03)))
    check_promises(events)
    (said,) = [e for e in events if e.type == "utterance"]
    assert said.text_status == "skipped"
    assert bound <= said.latency_ms.total / 1000 < bound + 1


def test_slow_analysis_sheds_estimates_and_audio_and_reports_it(random_bundle, monkeypatch):
    # Audio comes faster than in reality, and must not pass for what had waited before the start.
    monkeypatch.setattr("streamer.conversation.buffer._START", 0.0)
    bound, status, lags = 1.0, LiveStatus(), []
    with engine_for(random_bundle, live__max_lag=bound) as engine:
        process = engine.runtime.process_audio

        async def slow(work):
            await asyncio.sleep(0.02)
            lags.append(status.lag)
            return await process(work)

        engine.runtime.process_audio = slow
        events, _ = asyncio.run(live_conversation(engine, Spoken(turns(12), pace=0.001), status))
    check_promises(events)
    assert bound / 2 < max(lags) <= bound + PIECE / 16_000
    gaps = [e for e in events if e.type == "gap"]
    assert {gap.reason for gap in gaps} == {"behind"}
    assert sum(gap.end - gap.start for gap in gaps) == pytest.approx(status.lost, abs=0.1)
    told = " ".join(e.message for e in events if e.type == "error")
    assert "no transcription and no estimates while people speak" in told
    assert events[-1].duration == pytest.approx(len(turns(12)) / 16_000, abs=0.05)


def test_a_machine_that_keeps_up_sheds_nothing(random_bundle):
    with engine_for(random_bundle, Slow(0.05), live__max_lag=60.0) as engine:
        events, status = asyncio.run(live_conversation(engine, Spoken(turns(4), pace=0.01)))
    check_promises(events)
    said = [e for e in events if e.type == "utterance"]
    assert [(e.text, e.modalities) for e in said] == [("words", ["audio", "text"])] * 4
    assert status.lost == 0
    assert not [e for e in events if e.type in ("gap", "error")]


def test_late_updates_still_come_before_their_utterance(random_bundle):
    with engine_for(random_bundle, live__max_lag=60.0) as engine:
        classify = engine.runtime.classify

        async def late(window):
            await asyncio.sleep(0.2)
            return await classify(window, live=True)

        def classify_updates_late(window, *, live, may_wait=False):
            if not may_wait:
                return classify(window, live=live)
            return asyncio.get_running_loop().create_task(late(window))

        engine.runtime.classify = classify_updates_late
        events, _ = asyncio.run(live_conversation(engine, Spoken(turns(4))))
    check_promises(events)
    assert len([e for e in events if e.type == "utterance"]) == 4
    told = set()
    for event in events:
        if event.type == "utterance":
            told.add(event.utterance)
        elif event.type == "speech_update":
            assert event.utterance not in told


async def test_live_and_replay_hear_the_same(random_bundle):
    signal_ = turns(3)

    class Recorded(Spoken):
        def __init__(self, signal_):
            super().__init__(signal_)
            self.info = SourceInfo("spoken", ("speaker",), live=False, session="spoken")

    with engine_for(random_bundle, live__max_lag=60.0) as engine:
        _, replayed = await converse(Recorded(signal_), engine)
        heard, _ = await live_conversation(engine, Spoken(signal_))

    told = [
        (e.start, e.end, e.emotion, pytest.approx(e.probabilities, abs=1e-6))
        for e in replayed
        if e.type == "utterance"
    ]
    assert len(told) == 3
    assert [
        (e.start, e.end, e.emotion, e.probabilities) for e in heard if e.type == "utterance"
    ] == told

"""Notifications to systemd, over a socket like its own."""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
from datetime import UTC, datetime

import pytest

from streamer import events
from streamer.sinks.systemd import SystemdSink
from tests.conftest import REPOSITORY

COMMON = {"session": "s", "seq": 0, "time": datetime(2026, 1, 1, tzinfo=UTC)}
STARTED = events.SessionStarted(
    **COMMON,
    source="usb",
    channels=["a"],
    model=events.Model(name="m", version="1"),
    labels=["sad"],
    asr="none",
    streamer_version="0",
)
ENDED = events.SessionEnded(**COMMON, duration=1, utterances=0, gaps=0, errors=0, reason="finished")


@pytest.fixture
def notified(tmp_path, monkeypatch):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(tmp_path / "notify"))
        systemd.setblocking(False)
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        monkeypatch.delenv("WATCHDOG_PID", raising=False)

        def read():
            lines = []
            while True:
                try:
                    lines += systemd.recv(4096).decode().split("\n")
                except BlockingIOError:
                    return lines

        yield read


async def test_notifies_ready_and_stopping(notified, monkeypatch):
    monkeypatch.delenv("WATCHDOG_USEC", raising=False)
    async with SystemdSink() as sink:
        assert notified() == []
        await sink.emit(STARTED)
        assert notified() == ["READY=1", "STATUS=listening to usb"]
        await sink.emit(ENDED)
        assert notified() == ["STOPPING=1", "STATUS=finished"]


async def test_notifies_the_watchdog_until_the_end(notified, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    lines = []
    async with SystemdSink():
        while len(lines) < 3:
            await asyncio.sleep(0.001)
            lines += notified()
    notified()
    await asyncio.sleep(0.01)
    assert set(lines) == {"WATCHDOG=1"}
    assert notified() == []


async def test_ignores_the_watchdog_of_another_process(notified, monkeypatch):
    monkeypatch.setenv("WATCHDOG_USEC", "2000")
    monkeypatch.setenv("WATCHDOG_PID", "1")
    async with SystemdSink():
        await asyncio.sleep(0.01)
    assert notified() == []


async def test_nobody_listening_harms_nothing(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "gone"))
    async with SystemdSink() as sink:
        await sink.emit(STARTED)
    assert "systemd cannot be notified" in caplog.text


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd is not installed")
def test_systemd_accepts_the_unit_that_comes_with_it(tmp_path):
    unit = (REPOSITORY / "configs" / "streamer.service").read_text()
    here = tmp_path / "streamer.service"
    here.write_text(unit.replace("%h/.local/bin/streamer", sys.executable))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--user", here],
        env=os.environ | {"XDG_RUNTIME_DIR": str(tmp_path)},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr.decode()) == (0, "")

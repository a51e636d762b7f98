"""`streamer listen` as a process whose events are read while it runs."""

import contextlib
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

from streamer import events

LATE = 60
"""Seconds after which what should have happened will not."""


class Listening:
    """A running `streamer listen`; leaving the context kills it if it still runs."""

    def __init__(self, environment, *arguments, stdin=None):
        self.events = []
        self.arrived = []
        """When each event was read, in seconds of time.monotonic()."""
        self._lines = queue.Queue()
        command = [sys.executable, "-m", "streamer.cli", "listen", "--jsonl", "-"]
        self.process = subprocess.Popen(
            [*command, *map(str, arguments)],
            env=environment,
            stdin=stdin,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self._readers = [threading.Thread(target=self._read), threading.Thread(target=self._hear)]
        self.stderr = b""
        for reader in self._readers:
            reader.start()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait(LATE)
        for reader in self._readers:
            reader.join()
        if self.process.stdin:
            with contextlib.suppress(BrokenPipeError):
                self.process.stdin.close()
        self.process.stdout.close()
        self.process.stderr.close()

    def until(self, wanted, seconds=LATE):
        """Read events until one is as wanted; give it."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                arrived, line = self._lines.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"not seen; events: {self.events}; {self.stderr}") from None
            if not line:
                raise AssertionError(f"ended; events: {self.events}; stderr: {self.stderr}")
            event = events.parse(line)
            self.events.append(event)
            self.arrived.append(arrived)
            if wanted(event):
                return event

    def send(self, number):
        self.process.send_signal(number)

    def end(self, number=signal.SIGINT):
        """Ask it to end; give the seconds that it took and its exit code."""
        asked = time.monotonic()
        self.send(number)
        code = self.process.wait(LATE)
        took = time.monotonic() - asked
        self.rest()
        return took, code

    def rest(self):
        """Read the events up to the end."""
        self.until(lambda event: event.type == "session_ended")
        self.process.wait(LATE)
        return self.events

    def memory(self):
        """Resident bytes."""
        pages = Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def _read(self):
        for line in self.process.stdout:
            self._lines.put((time.monotonic(), line))
        self._lines.put((time.monotonic(), b""))

    def _hear(self):
        for line in self.process.stderr:
            self.stderr += line

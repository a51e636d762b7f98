"""Processes that do job after job: they end with the program that made them."""

import signal
import subprocess
import sys
import time

PROGRAM = """
import os, sys, time
from streamer.archive.pool import Pool
from streamer.settings.load import load

def work(engine, job, reached):
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(300)

settings = load(environment={}, overrides={"asr.backend": "none", "emotion.bundle": sys.argv[1]})
for _ in Pool(settings, 2, work).run(["one", "two"]):
    pass
"""


def test_workers_of_a_killed_program_do_not_go_on(random_bundle):
    with subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(random_bundle)], stdout=subprocess.PIPE, text=True
    ) as program:
        workers = [int(program.stdout.readline()) for _ in range(2)]
        program.send_signal(signal.SIGKILL)
    end = time.monotonic() + 60
    while any(is_running(worker) for worker in workers):
        assert time.monotonic() < end
        time.sleep(0.02)


def is_running(pid):
    """Whether there is such a process; one that nobody has waited for yet has ended."""
    try:
        with open(f"/proc/{pid}/stat") as stat:  # noqa: PTH123
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False

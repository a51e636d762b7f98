"""The program as a process: how it ends."""

import json
import subprocess
import sys

BUSY = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from streamer import cli
ThreadPoolExecutor().submit(time.sleep, 600)
sys.argv = ["streamer", *sys.argv[1:]]
cli.main()
"""


def run(*arguments):
    command = [sys.executable, "-c", BUSY, *arguments]
    return subprocess.run(command, capture_output=True, timeout=120, check=False)


def test_it_ends_though_a_thread_is_still_busy_and_says_all_that_it_has_to_say():
    done = run("schema")
    assert done.returncode == 0
    assert json.loads(done.stdout)


def test_its_exit_code_tells_what_went_wrong():
    done = run("replay", "no-such-file.wav")
    assert done.returncode == 2
    assert b"no-such-file.wav" in done.stderr

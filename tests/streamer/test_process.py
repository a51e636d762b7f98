"""What a process that analyses conversations sets for all of itself."""

import os
import subprocess
import sys

PROGRAM = """
import sys, threadpoolctl, streamer.cli
assert "numpy" not in sys.modules
streamer.cli._leave = lambda code: None
sys.argv = ["streamer", "schema"]
streamer.cli.main()
import numpy
print([pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"], file=sys.stderr)
"""


def threads_of_numpy(**environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if "_NUM_THREADS" not in name}
    return subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env=inherited | environment,
        check=True,
        capture_output=True,
        text=True,
    ).stderr.strip()


def test_the_program_multiplies_with_one_thread_of_numpy():
    assert threads_of_numpy() == "[1]"


def test_the_user_may_choose_the_threads_of_numpy():
    assert threads_of_numpy(OPENBLAS_NUM_THREADS="2") == f"[{min(2, os.cpu_count() or 1)}]"

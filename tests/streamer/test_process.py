"""What a process that analyses conversations sets for all of itself."""

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys, streamer.cli
assert "numpy" not in sys.modules
streamer.cli._leave = lambda code: None
sys.argv = ["streamer", "schema"]
streamer.cli.main()
"""
TOOL = """
import sys, types
from tools.command_line import dispatch
assert "numpy" not in sys.modules
command = types.ModuleType("command")
command.add_arguments = command.run = lambda given: None
sys.modules["command"] = command
dispatch("tool", "", {"do": ("command", "")}, ["do"])
"""
THREADS = """
import numpy, threadpoolctl
print([pool["num_threads"] for pool in threadpoolctl.threadpool_info() if pool["user_api"] == "blas"], file=sys.stderr)
"""


def threads_of_numpy(program: str, **environment: str) -> str:
    inherited = {name: value for name, value in os.environ.items() if "_NUM_THREADS" not in name}
    return subprocess.run(
        [sys.executable, "-c", program + THREADS],
        env=inherited | environment,
        check=True,
        capture_output=True,
        text=True,
    ).stderr.strip()


@pytest.mark.parametrize("program", [PROGRAM, TOOL], ids=["streamer", "tools"])
def test_programs_multiply_with_one_thread_of_numpy(program):
    assert threads_of_numpy(program) == "[1]"


def test_the_user_may_choose_the_threads_of_numpy():
    # [2], or [1] where OpenBLAS counts one core.
    chosen = threads_of_numpy("import sys", OPENBLAS_NUM_THREADS="2")
    assert threads_of_numpy(PROGRAM, OPENBLAS_NUM_THREADS="2") == chosen

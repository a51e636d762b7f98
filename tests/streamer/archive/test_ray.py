"""The same archive on a real local Ray."""

import os
import subprocess
import sys

import pytest

from tests.streamer.archive.calls import normalised, write_calls

pytest.importorskip("ray")
pytest.importorskip("pyarrow")


def test_gives_the_same_events_as_the_local_engine(random_bundle, tmp_path):
    calls = write_calls(tmp_path / "calls", count=2)
    for engine in ("local", "ray"):
        done = subprocess.run(
            [
                *(sys.executable, "-m", "streamer.cli", "archive", calls[0].parent),
                *("--out", tmp_path / engine, "--engine", engine, "--jobs", "2"),
                *("--set", "asr.backend=none", "--set", f"emotion.bundle={random_bundle}"),
            ],
            check=False,
            capture_output=True,
            text=True,
            timeout=200,
            env={**os.environ, "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"},
        )
        assert done.returncode == 0, done.stderr
        assert "2 analysed" in done.stdout
    for path in (tmp_path / "local" / "events").iterdir():
        assert normalised(path) == normalised(tmp_path / "ray" / "events" / path.name)

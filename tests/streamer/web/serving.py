"""A real server in a process of its own, and what clients of it share."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

SAMPLE = Path(__file__).resolve().parents[3] / "streamer" / "samples" / "call.ogg"


@contextlib.contextmanager
def server(bundle, *arguments, environment=None, port=0, cores=1):
    """Start `streamer serve` on a free port, unless one is given; give its address (host:port) and process.

    With one core it has no processes beside it, and starts sooner.
    """
    command = [
        *(sys.executable, "-m", "streamer.cli", "serve", "--port", str(port)),
        *("--set", "asr.backend=none", "--set", f"emotion.bundle={bundle}"),
        *("--set", f"cores={cores}", *arguments),
    ]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
    )
    try:
        lines = []
        for line in process.stderr:
            lines.append(line)
            if "listening on" in line:
                yield line.split("://")[1].strip().rstrip("/"), process
                break
        else:
            raise AssertionError("".join(lines))
    finally:
        process.terminate()
        process.wait(20)
        process.stderr.close()


def samples(seconds=None, rate=16_000):
    """The sample call, int16 [n, 2] at a sample rate."""
    import av

    container = av.open(str(SAMPLE))
    resampler = av.AudioResampler("s16", "stereo", rate)
    parts = [p for f in container.decode(audio=0) for p in resampler.resample(f)]
    audio = np.concatenate([part.to_ndarray().reshape(-1, 2) for part in parts])
    return audio if seconds is None else audio[: round(seconds * rate)]


def wait_for(condition, seconds=20):
    """Poll until a condition holds; its value."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end, "not in time"
        time.sleep(0.05)
    return value


def watched(address, first):
    """All events that `/watch` gives for a first message."""
    from websockets.sync import client

    with client.connect(f"ws://{address}/watch") as websocket:
        websocket.send(json.dumps(first))
        return [json.loads(message) for message in websocket]


def free_port():
    """A TCP port that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]

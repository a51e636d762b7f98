"""docs/server.md: its programs run against a real server."""

import re
import subprocess
import sys
import wave

import pytest

from tests.conftest import REPOSITORY
from tests.streamer.web.serving import samples, server

pytest.importorskip("uvicorn")
pytest.importorskip("websockets")

PAGE = (REPOSITORY / "docs" / "server.md").read_text()
PROGRAMS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture(scope="module")
def address(random_bundle):
    with server(random_bundle, "--set", "live.max_lag=60", "--set", "web.max_ahead=300") as (
        address,
        _,
    ):
        yield address


@pytest.mark.parametrize(
    ("program", "line"), [(0, r"^(agent|customer) \w+ None$"), (1, r"^[01] \w+ $")]
)
def test_prints_an_emotion_for_each_utterance(address, tmp_path, program, line):
    if program == 1:
        pytest.importorskip("deepgram")
    with wave.open(str(tmp_path / "call.wav"), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(16_000)
        file.writeframes(samples(12).tobytes())
    code = PROGRAMS[program].replace("127.0.0.1:8765", address)
    assert len(code.splitlines()) <= 35
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    lines = done.stdout.splitlines()
    assert len(lines) >= 3
    assert all(re.match(line, each) for each in lines), lines

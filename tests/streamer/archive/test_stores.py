"""Calls in object stores: a real S3 server (moto's) and an HTTP server, both on the loopback interface."""

import functools
import http.server
import os
import subprocess
import sys
import threading

import pytest

from streamer.archive.plan import plan
from streamer.errors import UserError
from tests.streamer.archive.calls import normalised, write_calls

pytest.importorskip("pyarrow")
pytest.importorskip("aiohttp")


@pytest.fixture(scope="module")
def calls(tmp_path_factory):
    return write_calls(tmp_path_factory.mktemp("calls"), count=2)


@pytest.fixture
def s3(calls, monkeypatch):
    """A bucket `archive` with the calls under `2026/`; the settings of its clients are in the environment."""
    pytest.importorskip("s3fs")
    server = pytest.importorskip("moto.server").ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "someone")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "not-a-secret")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import boto3

    client = boto3.client("s3")
    client.create_bucket(Bucket="archive")
    for call in calls:
        client.upload_file(str(call), "archive", f"2026/{call.name}")
    client.put_object(Bucket="archive", Key="2026/notes.txt", Body=b"no recording")
    yield client
    server.stop()


def archive(*arguments, bundle):
    return subprocess.run(
        [
            *(sys.executable, "-m", "streamer.cli", "archive", *map(str, arguments)),
            *("--set", "asr.backend=none", "--set", f"emotion.bundle={bundle}"),
        ],
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
        env=dict(os.environ),
    )


def events(out):
    """By the recording's name: its place is another."""
    return {path.name.rsplit("-", 1)[0]: normalised(path) for path in (out / "events").iterdir()}


def test_calls_in_s3_give_the_events_of_local_ones(s3, calls, random_bundle, tmp_path):
    done = archive("s3://archive/2026/", "--out", tmp_path / "s3", bundle=random_bundle)
    assert done.returncode == 0, done.stderr
    assert "2 calls, 2 analysed" in done.stdout
    archive(*calls, "--out", tmp_path / "local", bundle=random_bundle)
    assert events(tmp_path / "s3") == events(tmp_path / "local")
    again = archive("s3://archive/2026/*.wav", "--out", tmp_path / "s3", bundle=random_bundle)
    assert "0 analysed, 2 done before" in again.stdout


def test_a_call_that_was_taken_away_fails_alone(s3, random_bundle, tmp_path):
    listed = tmp_path / "list.txt"
    listed.write_text("s3://archive/2026/call 0.wav\ns3://archive/2026/call 1.wav\n")
    s3.put_object(Bucket="archive", Key="2026/call 1.wav", Body=b"damaged")
    done = archive(f"@{listed}", "--out", tmp_path / "out", bundle=random_bundle)
    assert done.returncode == 1
    assert "1 analysed, 0 done before, 1 failed" in done.stdout
    assert "s3://archive/2026/call 1.wav" in done.stderr


@pytest.mark.parametrize("source", ["s3://nowhere/2026/", "s3://archive/2025/"])
def test_an_empty_or_missing_bucket_is_one_line(s3, source):
    with pytest.raises(UserError, match=source) as raised:
        plan([source])
    assert "\n" not in str(raised.value)


def test_calls_on_a_web_server(calls, random_bundle, tmp_path):
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    handler = functools.partial(quiet, directory=str(calls[0].parent))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}/call%200.wav"
        done = archive(url, "--out", tmp_path / "web", bundle=random_bundle)
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert "1 analysed" in done.stdout

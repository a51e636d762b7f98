"""What strangers send: each gets a close code or an error of HTTP, and leaves nothing behind."""

import json
import os
import socket

import pytest

from tests.streamer.web.serving import free_port, server

pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")

SECRET = "a-token-of-some-length"  # noqa: S105
START = {"type": "start", "token": SECRET}
TWILIO = {"event": "start", "start": {"customParameters": {"token": SECRET}, "tracks": ["inbound"]}}


@pytest.fixture(scope="module")
def served(random_bundle):
    """Address of a server with a token, its Wyoming port, and what it logged once it has ended."""
    wyoming = free_port()
    options = ("--wyoming", f"tcp://127.0.0.1:{wyoming}", "--set", "log.level=debug")
    with server(random_bundle, *options, environment={"STREAMER_WEB_TOKEN": SECRET}) as (
        address,
        process,
    ):
        yield address, wyoming
        process.terminate()
        log = process.stderr.read()
    assert SECRET not in log
    assert "Traceback" not in log


def close_code(address, path, *messages):
    with client.connect(f"ws://{address}{path}") as websocket:
        try:
            for message in messages:
                websocket.send(message if isinstance(message, bytes) else as_text(message))
            while True:
                websocket.recv()
        except exceptions.ConnectionClosed as closed:
            return closed.rcvd.code


def as_text(message):
    return message if isinstance(message, str) else json.dumps(message)


@pytest.mark.parametrize(
    ("code", "path", "messages"),
    [
        (4400, "/ws", ["[" * 100_000]),
        (4400, "/ws", ['{"type": "start", "rate": ' + "9" * 5_000 + "}"]),
        (4400, "/ws", [{**START, "session": ".."}]),
        (4400, "/ws", [{**START, "channels": ["\ud800"]}]),
        (4400, "/ws", [START, '{"type": "gap", "seconds": NaN}']),
        (4400, "/ws", [{**START, "format": "opus-in-webm"}, os.urandom(50_000), {"type": "end"}]),
        (4401, "/ws", [{**START, "token": "\ud800"}]),
        (4401, "/ws", [{**START, "token": [SECRET]}]),
        (4400, "/watch", [{"token": SECRET, "session": ["x"], "after": "x"}]),
        (
            4400,
            "/twilio",
            [TWILIO, '{"event": "media", "media": {"payload": "", "timestamp": 1e400}}'],
        ),
    ],
)
def test_odd_messages_get_a_close_code(served, code, path, messages):
    assert close_code(served[0], path, *messages) == code


def ask(address, text):
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), timeout=20) as connection:
        connection.sendall(text.encode())
        answer = b""
        while part := connection.recv(65_536):
            answer += part
    return answer


@pytest.mark.parametrize(
    "path",
    [
        "/static/../server.py",
        "/static/%2e%2e/server.py",
        "/static/..%2f..%2fserver.py",
        "/static//etc/passwd",
        "/reports/..%2f..%2fetc%2fpasswd",
        "/reports/x",
    ],
)
def test_no_path_leads_out_of_the_page(served, path):
    answer = ask(served[0], f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert answer.split(b" ")[1] == b"404"


def test_a_request_hidden_in_another_is_not_answered(served):
    hidden = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
    both = "Content-Length: 6\r\nTransfer-Encoding: chunked\r\nConnection: close"
    answer = ask(served[0], f"POST / HTTP/1.1\r\nHost: x\r\n{both}\r\n\r\n0\r\n\r\n{hidden}")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("data", [b'{"type":"x","data":' + b"[" * 50_000, b"nonsense"])
def test_odd_wyoming_messages_end_their_connection(served, data):
    with socket.create_connection(("127.0.0.1", served[1]), timeout=20) as connection:
        connection.sendall(data + b"\n")
        assert connection.recv(1_000) == b""


def test_an_endless_wyoming_message_is_refused(served):
    header = b'{"type": "audio-chunk", "data": {}, "payload_length": 99999999999}\n'
    with socket.create_connection(("127.0.0.1", served[1]), timeout=20) as connection:
        connection.sendall(header)
        assert connection.recv(1_000) == b""


def test_a_page_whose_name_points_here_is_refused(random_bundle):
    with server(random_bundle) as (address, _):
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port))) as connection:
            headers = {"Host": f"evil.example:{port}", "Origin": f"http://evil.example:{port}"}
            with pytest.raises(exceptions.InvalidStatus):
                client.connect(
                    f"ws://evil.example:{port}/ws", sock=connection, additional_headers=headers
                )
        own = {"Origin": f"http://{address}"}
        with client.connect(f"ws://{address}/ws", additional_headers=own) as websocket:
            websocket.send("{}")

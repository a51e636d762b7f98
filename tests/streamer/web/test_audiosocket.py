"""AudioSocket, by a client written after its public description."""

import socket
import uuid

import pytest

from tests.streamer.web.serving import free_port, samples, server, wait_for, watched

pytest.importorskip("uvicorn")


@pytest.fixture(scope="module")
def addresses(random_bundle):
    port = free_port()
    options = (
        "--audiosocket",
        f"127.0.0.1:{port}",
        "--set",
        "live.max_lag=60",
        "--set",
        "web.max_ahead=300",
    )
    with server(random_bundle, *options) as (address, _):
        yield address, port


def message(kind, payload=b""):
    return bytes([kind]) + len(payload).to_bytes(2, "big") + payload


def call(port, name, *, hang_up=True, rate=8_000, kind=0x10):
    audio = samples(rate=rate)[:, 1].tobytes()
    with socket.create_connection(("127.0.0.1", port)) as exchange:
        exchange.sendall(message(0x01, name.bytes))
        for start in range(0, len(audio), 320):
            exchange.sendall(message(kind, audio[start : start + 320]))
        exchange.sendall(message(0x03, b"5"))
        if hang_up:
            exchange.sendall(message(0x00))
            assert exchange.recv(1) == b""


@pytest.mark.parametrize(("rate", "kind"), [(8_000, 0x10), (16_000, 0x12)])
def test_a_call_is_a_session_named_by_its_uuid(addresses, rate, kind):
    address, port = addresses
    name = uuid.uuid4()
    call(port, name, rate=rate, kind=kind)
    events = watched(address, {"session": str(name)})
    assert events[0]["channels"] == ["caller"]
    assert any(event["type"] == "utterance" for event in events)
    assert [e["label"] for e in events if e["type"] == "mark"] == ["DTMF 5"]
    assert events[-1]["reason"] == "finished"


def test_a_lost_connection_ends_the_session_as_failed(addresses):
    address, port = addresses
    name = uuid.uuid4()
    call(port, name, hang_up=False)
    wait_for(lambda: watched(address, {"session": str(name)})[-1]["type"] == "session_ended")
    events = watched(address, {"session": str(name)})
    assert events[-1]["reason"] == "failed"
    assert any("connection was lost" in e["message"] for e in events if e["type"] == "error")


@pytest.mark.parametrize("first", [b"GET / HTTP/1.1\r\n\r\n", message(0x10, b"12"), b"\x01\x00"])
def test_survives_what_is_no_call(addresses, first):
    address, port = addresses
    with socket.create_connection(("127.0.0.1", port)) as exchange:
        exchange.sendall(first)
        exchange.shutdown(socket.SHUT_WR)
        assert exchange.recv(1) == b""
    name = uuid.uuid4()
    call(port, name)
    assert watched(address, {"session": str(name)})


def test_refuses_an_address_that_others_reach(random_bundle):
    with (
        pytest.raises(AssertionError, match="use a loopback address"),
        server(random_bundle, "--audiosocket", f"0.0.0.0:{free_port()}"),
    ):
        pass

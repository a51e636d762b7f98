"""Twilio's Media Streams, message by message as its documentation shows them."""

import base64
import json

import pytest

from tests.streamer.web.g711 import mulaw
from tests.streamer.web.serving import samples, server, watched

pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")

CONNECTED = {"event": "connected", "protocol": "Call", "version": "1.0.0"}
START = {
    "event": "start",
    "sequenceNumber": "1",
    "start": {
        "streamSid": "MZ1",
        "callSid": "CA1",
        "tracks": ["inbound", "outbound"],
        "mediaFormat": {"encoding": "audio/x-mulaw", "sampleRate": 8000, "channels": 1},
        "customParameters": {},
    },
    "streamSid": "MZ1",
}


def media(track, begin, payload):
    return {
        "event": "media",
        "media": {
            "track": track,
            "timestamp": str(begin),
            "payload": base64.b64encode(payload).decode(),
        },
    }


@pytest.fixture(scope="module")
def address(random_bundle):
    with server(random_bundle, "--set", "live.max_lag=60", "--set", "web.max_ahead=300") as (
        address,
        _,
    ):
        yield address


def call(address, sid, *, skip=range(0)):
    """Send the sample call in packets of 20 ms, without some of them; give all events."""
    start = {**START, "start": {**START["start"], "callSid": sid}}
    audio = samples(rate=8_000)
    tracks = {"outbound": mulaw(audio[:, 0]), "inbound": mulaw(audio[:, 1])}
    with client.connect(f"ws://{address}/twilio") as websocket:
        for message in (CONNECTED, start):
            websocket.send(json.dumps(message))
        for packet in range(len(audio) // 160):
            if packet not in skip:
                for track, data in tracks.items():
                    payload = data[packet * 160 : packet * 160 + 160]
                    websocket.send(json.dumps(media(track, packet * 20, payload)))
        websocket.send(json.dumps({"event": "stop", "stop": {"callSid": sid}}))
        assert list(websocket) == []
    return watched(address, {"session": sid})


def test_analyses_both_tracks(address):
    events = call(address, "CA1")
    assert events[0]["channels"] == ["caller", "agent"]
    spoken = {e["channel"] for e in events if e["type"] == "utterance"}
    assert spoken == {"caller", "agent"}
    assert events[-1]["reason"] == "finished"


def test_reports_missing_packets_as_gaps(address):
    events = call(address, "CA2", skip=range(100, 150))
    gaps = [(e["channel"], e["start"], e["end"]) for e in events if e["type"] == "gap"]
    assert sorted(gaps) == [("agent", 2.0, 3.0), ("caller", 2.0, 3.0)]

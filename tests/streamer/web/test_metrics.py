"""What Prometheus scrapes."""

import json
import urllib.request

import pytest

from streamer.control import LiveStatus
from streamer.sinks.metrics import Metrics
from tests.streamer.web.serving import samples, server, watched

pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")
parser = pytest.importorskip("prometheus_client.parser")


def scrape(address):
    with urllib.request.urlopen(f"http://{address}/metrics") as response:
        families = parser.text_string_to_metric_families(response.read().decode())
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in families
            for sample in family.samples
        }


def test_counts_what_happened(random_bundle):
    with server(random_bundle) as (address, _):
        before = scrape(address)
        assert before["streamer_sessions", ()] == 0
        with client.connect(f"ws://{address}/ws") as websocket:
            websocket.send(json.dumps({"type": "start", "channels": ["a", "b"], "live": False}))
            websocket.send(samples(10).tobytes())
            websocket.send(json.dumps({"type": "end"}))
            events = [json.loads(message) for message in websocket]
        after = scrape(address)
    spoken = [event for event in events if event["type"] == "utterance"]
    counted = [v for (name, _), v in after.items() if name == "streamer_utterances_total"]
    assert sum(counted) == len(spoken) > 0
    assert after["streamer_label_latency_seconds_count", ()] == len(spoken)
    assert after["streamer_sessions", ()] == 0


def test_health_answers(random_bundle):
    with (
        server(random_bundle) as (address, _),
        urllib.request.urlopen(f"http://{address}/healthz") as response,
    ):
        assert json.load(response) == {"status": "ok", "conversations": 0}


def test_finished_conversations_can_still_be_watched(random_bundle):
    with server(random_bundle) as (address, _):
        with client.connect(f"ws://{address}/ws") as websocket:
            websocket.send(json.dumps({"type": "start", "session": "s"}))
            websocket.send(json.dumps({"type": "end"}))
            list(websocket)
        assert watched(address, {"session": "s"})[-1]["type"] == "session_ended"


def test_counts_transcriptions_of_running_and_of_ended_conversations():
    metrics = Metrics()
    for begun, cancelled in ((3, 1), (2, 0)):
        status = LiveStatus()
        metrics.begin(status)
        status.transcripts.begun, status.transcripts.cancelled = begun, cancelled
        if cancelled:
            metrics.end(status)
    text = metrics.text()[0].decode()
    assert 'streamer_transcriptions_total{outcome="begun"} 5.0' in text
    assert 'streamer_transcriptions_total{outcome="cancelled"} 1.0' in text

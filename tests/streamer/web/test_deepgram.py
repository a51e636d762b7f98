"""Deepgram's own client library, pointed at the server."""

import json
import threading

import pytest

from streamer.events import SpeechUpdate
from tests.streamer.web.serving import samples, server

pytest.importorskip("uvicorn")
deepgram = pytest.importorskip("deepgram")
EventType = pytest.importorskip("deepgram.core.events").EventType

# The client library imports deprecated names of websockets.
pytestmark = pytest.mark.filterwarnings("ignore:websockets:DeprecationWarning")


@pytest.fixture(scope="module")
def address(random_bundle):
    with server(random_bundle, "--set", "live.max_lag=60", "--set", "web.max_ahead=300") as (
        address,
        _,
    ):
        yield address


def client(address, key="any-key"):
    environment = deepgram.DeepgramClientEnvironment(
        base=f"http://{address}",
        production=f"ws://{address}",
        agent=f"ws://{address}",
        agent_rest=f"http://{address}",
    )
    return deepgram.DeepgramClient(api_key=key, environment=environment)


def listen(address, **options):
    """Send the sample call; give all messages."""
    found = []
    settings = {
        "model": "nova-3",
        "encoding": "linear16",
        "sample_rate": "16000",
        "channels": "2",
        "multichannel": "true",
        "vad_events": "true",
        "utterance_end_ms": "1000",
        **options,
    }
    with client(address).listen.v1.connect(**settings) as connection:
        connection.on(EventType.MESSAGE, found.append)
        listening = threading.Thread(target=connection.start_listening)
        listening.start()
        data = samples().tobytes()
        for start in range(0, len(data), 64_000):
            connection.send_media(data[start : start + 64_000])
        connection.send_keep_alive()
        connection.send_close_stream()
        listening.join(60)
    return found


def test_client_library_gets_results_of_both_channels(address):
    messages = listen(address)
    results = [m for m in messages if m.type == "Results"]
    assert {tuple(r.channel_index) for r in results} == {(0, 2), (1, 2)}
    assert all(r.is_final and r.speech_final for r in results)
    assert all(r.channel.alternatives[0].transcript == "" for r in results)  # no recogniser here
    assert all(r.streamer["type"] == "utterance" for r in results)
    starts = [m for m in messages if m.type == "SpeechStarted"]
    ends = [m for m in messages if m.type == "UtteranceEnd"]
    assert len(starts) == len(ends) == len(results)
    assert messages[-1].type == "Metadata"
    assert messages[-1].duration == pytest.approx(len(samples()) / 16_000, abs=0.1)


class Socket:
    """Keeps the messages."""

    def __init__(self):
        self.messages = []

    async def send_text(self, text):
        self.messages.append(json.loads(text))


async def said(text):
    """A conversation that shows words while they are spoken."""
    common = {"session": "s", "seq": 0, "time": "2026-01-01T00:00:00Z", "channel": "a"}
    for known in (None, text):
        yield SpeechUpdate(
            **common, start=1.0, end=2.0, utterance="u", probabilities={}, text=known
        )


@pytest.mark.parametrize(("asked", "texts"), [("true", ["where is"]), ("false", [])])
async def test_interim_results_are_the_words_known_while_somebody_speaks(asked, texts):
    from streamer.web.ingest.deepgram import _Answers

    socket = Socket()
    await _Answers(socket, "s", ("a",), {"interim_results": asked}).send(said("where is"))
    results = [m for m in socket.messages if m["type"] == "Results"]
    assert [r["channel"]["alternatives"][0]["transcript"] for r in results] == texts
    assert not any(r["is_final"] or r["speech_final"] for r in results)
    assert all(r["streamer"]["type"] == "speech_update" for r in results)


def test_closes_on_an_encoding_it_does_not_know(address):
    with client(address).listen.v1.connect(model="nova-3", encoding="amr-nb") as connection:
        assert _closed(connection) == 4400


def _closed(connection):
    with pytest.raises(Exception, match="encoding amr-nb") as failed:
        connection.recv()
    return failed.value.rcvd.code

"""Audio in and events out over `/ws`, with the `websockets` client against a real server."""

import contextlib
import json

import psutil
import pytest

from tests.streamer.web.g711 import mulaw
from tests.streamer.web.serving import samples, server, watched

pytest.importorskip("uvicorn")
client = pytest.importorskip("websockets.sync.client")
exceptions = pytest.importorskip("websockets.exceptions")

START = {"type": "start", "channels": ["agent", "customer"], "live": False}


@pytest.fixture(scope="module")
def address(random_bundle):
    with server(random_bundle, cores=2) as (address, _):
        yield address


def talk(address, start, pieces, *, end=True):
    """Send audio, then read events until the server closes; give them."""
    with client.connect(f"ws://{address}/ws") as websocket:
        websocket.send(json.dumps(start))
        for piece in pieces:
            websocket.send(piece)
        if end:
            websocket.send(json.dumps({"type": "end"}))
        return [json.loads(message) for message in websocket]


def cut(data, size=32_000):
    return [data[i : i + size] for i in range(0, len(data), size)]


def utterances(events):
    return [(e["channel"], e["start"], e["end"]) for e in events if e["type"] == "utterance"]


def test_gives_the_events_of_a_call(address):
    events = talk(address, START, cut(samples().tobytes()))
    assert events[0]["type"] == "session_started"
    assert events[0]["channels"] == ["agent", "customer"]
    assert events[-1]["type"] == "session_ended"
    assert events[-1]["reason"] == "finished"
    assert [e["seq"] for e in events] == list(range(len(events)))
    assert {channel for channel, _, _ in utterances(events)} == {"agent", "customer"}


def test_pieces_do_not_change_the_utterances(address):
    data = samples().tobytes()
    assert utterances(talk(address, START, cut(data, 10_001))) == utterances(
        talk(address, START, cut(data, 500_000))
    )


def test_hears_telephone_audio(address):
    narrow = samples(rate=8_000)
    events = talk(address, {**START, "format": "mulaw", "rate": 8000}, cut(mulaw(narrow)))
    assert len(utterances(events)) >= 8


@pytest.mark.parametrize("container", ["ogg", "webm"])
def test_decodes_opus_in_a_container(address, container):
    start = {**START, "format": "opus-in-webm" if container == "webm" else container}
    events = talk(address, start, cut(encoded(container), 4_000))
    assert len(utterances(events)) >= 8
    assert events[-1]["reason"] == "finished"


def test_keeps_the_session_and_its_marks(address):
    start = {**START, "session": "call-7", "live": True}
    with client.connect(f"ws://{address}/ws") as websocket:
        websocket.send(json.dumps(start))
        websocket.send(samples(1).tobytes())
        websocket.send(json.dumps({"type": "mark", "label": "here"}))
        websocket.send(json.dumps({"type": "end"}))
        events = [json.loads(message) for message in websocket]
    assert {event["session"] for event in events} == {"call-7"}
    assert [e["label"] for e in events if e["type"] == "mark"] == ["here"]


@pytest.mark.parametrize(
    ("first", "reason"),
    [
        ("nonsense", "expected a JSON object"),
        ("[1]", "expected a JSON object"),
        ({"type": "end"}, 'expected {"type": "start"'),
        ({**START, "format": "mp9"}, "format"),
        ({**START, "rate": 1}, "rate 1: expected"),
        ({**START, "rate": "fast"}, "rate: expected"),
        ({**START, "channels": ["a", "a"]}, "channels: expected"),
        ({**START, "channels": ["a/b"]}, "channels: a name"),
        ({**START, "channels": []}, "channels: expected"),
        ({**START, "session": "../etc"}, "session: expected"),
    ],
)
def test_refuses_a_wrong_start_with_its_reason(address, first, reason):
    with client.connect(f"ws://{address}/ws") as websocket:
        websocket.send(first if isinstance(first, str) else json.dumps(first))
        with pytest.raises(exceptions.ConnectionClosed) as closed:
            websocket.recv()
    assert closed.value.rcvd.code == 4400
    assert closed.value.rcvd.reason.startswith(reason)


def test_refuses_audio_far_ahead_of_real_time(random_bundle):
    with (
        server(random_bundle, "--set", "web.max_ahead=2") as (address, _),
        pytest.raises(exceptions.ConnectionClosed) as closed,
    ):
        talk(address, {**START, "live": True}, cut(samples().tobytes()), end=False)
    assert closed.value.rcvd.code == 4429
    assert "ahead of real time" in closed.value.rcvd.reason


def test_says_how_many_conversations_it_takes(random_bundle):
    with (
        server(random_bundle, "--set", "web.max_conversations=1") as (address, _),
        client.connect(f"ws://{address}/ws") as first,
        client.connect(f"ws://{address}/ws") as second,
    ):
        first.send(json.dumps({**START, "live": True}))
        assert json.loads(first.recv())["type"] == "session_started"
        second.send(json.dumps(START))
        with pytest.raises(exceptions.ConnectionClosed) as closed:
            second.recv()
    assert closed.value.rcvd.code == 1013


def test_needs_the_token(random_bundle):
    secret = "a-token-of-some-length"  # noqa: S105
    with server(random_bundle, environment={"STREAMER_WEB_TOKEN": secret}) as (address, _):
        for start in (START, {**START, "token": "wrong"}):
            with client.connect(f"ws://{address}/ws") as websocket:
                websocket.send(json.dumps(start))
                with pytest.raises(exceptions.ConnectionClosed) as closed:
                    websocket.recv()
            assert closed.value.rcvd.code == 4401
        assert talk(address, {**START, "token": secret}, [])[-1]["type"] == "session_ended"


def test_refuses_a_foreign_page(address):
    with pytest.raises(exceptions.InvalidStatus):
        client.connect(f"ws://{address}/ws", additional_headers={"Origin": "https://evil.example"})


def test_ends_conversations_when_stopped(random_bundle):
    with server(random_bundle) as (address, process):
        with client.connect(f"ws://{address}/ws") as websocket:
            websocket.send(json.dumps({**START, "live": True}))
            websocket.send(samples(2).tobytes())
            assert json.loads(websocket.recv())["type"] == "session_started"
            process.terminate()
            received = []
            with pytest.raises(exceptions.ConnectionClosed) as closed:
                received.extend(map(json.loads, websocket))
        last = received[-1]
        assert closed.value.rcvd.code == 1012
        assert last["type"] == "session_ended"
        assert last["reason"] == "terminated"
        assert process.wait(20) == 0


def test_watches_without_doubles(address):
    talk(address, {**START, "session": "watched"}, cut(samples(8).tobytes()))
    whole = watched(address, {"session": "watched"})
    numbers = [event["seq"] for event in whole]
    assert numbers == sorted(set(numbers))
    rest = watched(address, {"session": "watched", "after": numbers[3]})
    assert rest == whole[4:]


def test_a_gap_moves_what_follows(address):
    data = samples(8).tobytes()
    plain = utterances(talk(address, START, [data]))
    moved = utterances(talk(address, START, [json.dumps({"type": "gap", "seconds": 3}), data]))
    assert moved == [(who, round(a + 3, 3), round(b + 3, 3)) for who, a, b in plain]


@pytest.mark.parametrize("seconds", [-1, 1e9, "long", None, True])
def test_refuses_an_odd_gap(address, seconds):
    with pytest.raises(exceptions.ConnectionClosed) as closed:
        talk(address, START, [json.dumps({"type": "gap", "seconds": seconds})])
    assert closed.value.rcvd.code == 4400


def test_the_same_client_takes_its_session_up_again(address):
    start = {**START, "session": "again", "live": True}
    with client.connect(f"ws://{address}/ws") as first:
        first.send(json.dumps(start))
        assert json.loads(first.recv())["type"] == "session_started"
        refused = [{**START, "session": "again"}, {**start, "again": "yes"}]
        for wrong in refused:
            with pytest.raises(exceptions.ConnectionClosed) as closed:
                talk(address, wrong, [])
            assert closed.value.rcvd.reason == "session again: is running already"
        events = talk(address, {**start, "again": True}, [])
        assert events[-1]["reason"] == "finished"
        assert [json.loads(message) for message in first][-1]["reason"] == "failed"


def test_watchers_steer(address):
    with (
        client.connect(f"ws://{address}/ws") as own,
        client.connect(f"ws://{address}/watch") as other,
    ):
        own.send(json.dumps({**START, "session": "steered", "live": True}))
        assert json.loads(own.recv())["type"] == "session_started"
        other.send(json.dumps({"session": "steered"}))
        assert json.loads(other.recv())["type"] == "session_started"
        for message in ({"type": "mark", "label": "here"}, {"type": "summary"}, {"type": "end"}):
            other.send(json.dumps(message))
        types = [json.loads(message)["type"] for message in own]
    assert types[0] == "mark"
    assert types[-1] == "session_ended"


def test_a_client_that_leaves_in_the_middle_of_a_container_leaves_nothing_behind(address):
    for _ in range(10):  # more than the threads of a default pool
        with client.connect(f"ws://{address}/ws") as websocket:
            websocket.send(json.dumps({**START, "format": "ogg"}))
            websocket.send(encoded("ogg")[:3_000])
    events = talk(address, {**START, "format": "ogg"}, cut(encoded("ogg"), 4_000))
    assert events[-1]["reason"] == "finished"


def test_lists_conversations(address):
    with client.connect(f"ws://{address}/watch") as websocket:
        websocket.send("{}")
        listed = json.loads(websocket.recv())
    assert listed["type"] == "conversations"
    assert all(row["finished"] for row in listed["conversations"])


def encoded(container):
    """The sample call as Opus in Ogg or WebM."""
    import io

    import av

    file = io.BytesIO()
    output = av.open(file, "w", format=container)
    stream = output.add_stream("libopus", rate=48_000, layout="stereo")
    frame = av.AudioFrame.from_ndarray(
        samples(rate=48_000).reshape(1, -1), format="s16", layout="stereo"
    )
    frame.sample_rate = 48_000
    for packet in [*stream.encode(frame), *stream.encode(None)]:
        output.mux(packet)
    output.close()
    return file.getvalue()


def test_a_process_that_dies_costs_its_conversations_and_no_others(random_bundle):
    spoken = samples(2).tobytes()
    with (
        server(random_bundle, cores=2) as (address, process),
        contextlib.ExitStack() as stack,
    ):
        sockets = [stack.enter_context(client.connect(f"ws://{address}/ws")) for _ in range(2)]
        for socket in sockets:
            socket.send(json.dumps(START))
            socket.send(spoken)
            assert json.loads(socket.recv())["type"] == "session_started"
        forks = [
            fork for child in psutil.Process(process.pid).children() for fork in child.children()
        ]
        assert len(forks) == 2
        forks[0].kill()
        for socket in sockets:
            socket.send(spoken)
            socket.send(json.dumps({"type": "end"}))
        conversations = [[json.loads(message) for message in socket] for socket in sockets]
        failed, finished = sorted(conversations, key=lambda events: events[-1]["reason"])
        assert (failed[-1]["reason"], finished[-1]["reason"]) == ("failed", "finished")
        assert [e for e in failed if e["type"] == "error" and "has died" in e["message"]]
        assert not [e for e in finished if e["type"] == "error"]
        events = talk(address, START, [spoken])
        assert events[-1]["reason"] == "finished"

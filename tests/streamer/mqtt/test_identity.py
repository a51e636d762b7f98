"""The node's name survives restarts, and undelivered events find a new node."""

import asyncio

import pytest

from streamer.mqtt import identity
from streamer.mqtt.identity import default_name, kept_name, state_directory
from streamer.mqtt.topics import segment
from tests.brokers import Recorder, wait_for
from tests.event_streams import conversation
from tests.streamer.mqtt.test_delivery import publish, sequences


def test_the_name_is_stable_and_a_valid_level():
    assert default_name() == default_name()
    assert segment(default_name()) == default_name()


def test_the_name_survives_another_host_name(tmp_path, monkeypatch):
    first = kept_name(tmp_path)
    monkeypatch.setattr(identity.socket, "gethostname", lambda: "0123456789ab")
    assert kept_name(tmp_path) == first
    assert kept_name(tmp_path / "other").startswith("streamer-")


def test_containers_of_one_image_have_different_names(tmp_path, monkeypatch):
    names = set()
    for host in ("0123456789ab", "ba9876543210"):
        monkeypatch.setattr(identity.socket, "gethostname", lambda host=host: host)
        names.add(default_name())
    assert len(names) == 2


@pytest.mark.parametrize("content", [b"", b"\xff", b"a/b", b"x" * 500])
def test_an_unusable_kept_name_is_not_used(tmp_path, content):
    (tmp_path / "node").write_bytes(content)
    assert kept_name(tmp_path) == default_name()


def test_without_a_writable_directory_the_name_is_still_stable(tmp_path):
    (tmp_path / "file").write_text("")
    assert kept_name(tmp_path / "file" / "state") == default_name()


def test_the_state_directory_of_systemd_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("STATE_DIRECTORY", f"{tmp_path}:/elsewhere")
    assert state_directory(None) == tmp_path
    assert state_directory(tmp_path / "mine") == tmp_path / "mine"


async def test_adopts_the_outbox_of_a_node_that_is_gone(make_broker, make_sink, caplog, tmp_path):
    broker = make_broker(start=False)
    await publish(make_sink(broker, node="old", flush=0), conversation(30, "first"))
    broker.start()
    recorder = Recorder(broker)
    await publish(make_sink(broker, node="new"), conversation(30, "second"))
    wait_for(lambda: len(recorder.payloads("/session_ended")) == 2)
    recorder.close()
    assert sequences(recorder, "new") == {"first": list(range(30)), "second": list(range(30))}
    assert "30 events of an earlier node" in caplog.text
    assert not list((tmp_path / "outbox").glob("old-*"))


async def test_leaves_the_outbox_of_a_running_node_and_of_another_broker(
    make_broker, make_sink, tmp_path
):
    away, broker = make_broker(start=False), make_broker()
    await publish(make_sink(away, node="elsewhere", flush=0), conversation(5, "x"))
    async with make_sink(broker, node="one") as one:
        broker.freeze()
        for event in conversation(10, "one"):
            await one.emit(event)
        await one.stored()
        broker.thaw()
        await publish(make_sink(broker, node="two"), conversation(5, "two"))
        await asyncio.to_thread(wait_for, lambda: not one.waiting)
    assert len(list((tmp_path / "outbox").glob("elsewhere-*.sqlite"))) == 1
    assert len(list((tmp_path / "outbox").glob("one-*.sqlite"))) == 1

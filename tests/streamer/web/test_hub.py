"""Which conversations a server takes."""

import pytest

from streamer.runtime.models import Runtime
from streamer.runtime.pressure import BUSY, FULL, ROOM
from streamer.sources import SourceInfo
from streamer.sources.network import NetworkSource
from streamer.web.hub import BusyError, Hub
from tests.end_to_end.conversations import engine_for


@pytest.fixture
async def hub(random_bundle):
    with engine_for(random_bundle) as engine:
        made = Hub(engine, lambda *_: (), most=10)
        yield made
        await made.close(20.0)


@pytest.fixture
def press(monkeypatch):
    """Sets how busy the workers are."""
    return lambda step: monkeypatch.setattr(Runtime, "pressure", step)


def start(hub, session, *, live=True, again=False):
    source = NetworkSource(SourceInfo(session, ("agent",), live, session), 30.0)
    return hub.start(session, source, again=again)


async def test_takes_no_more_while_half_of_the_live_conversations_are_behind(hub):
    first, second, third = (start(hub, session) for session in "abc")
    start(hub, "recording", live=False).status.lag = 60.0
    first.status.lag = 3.0
    start(hub, "d")
    second.status.lag = third.status.lag = 3.0
    with pytest.raises(BusyError, match=r"3.0 s behind"):
        start(hub, "e")
    second.status.lag = 0.0
    start(hub, "e")


async def test_takes_no_more_while_the_cores_are_full_of_live_conversations(hub, press):
    start(hub, "a")
    press(FULL)
    for live in (True, False):
        with pytest.raises(BusyError, match="no time left"):
            start(hub, "b", live=live)


async def test_takes_one_by_one_while_workers_are_busy_and_for_a_while_after_a_refusal(
    hub, press, monkeypatch
):
    start(hub, "a")
    start(hub, "b")
    press(BUSY)
    with pytest.raises(BusyError, match="no time left"):
        start(hub, "c")
    monkeypatch.setattr(hub, "_taken", hub._taken - 2.0)
    start(hub, "c")
    press(ROOM)
    with pytest.raises(BusyError, match="no time left"):
        start(hub, "d")
    monkeypatch.setattr(hub, "_refused", hub._refused - 10.0)
    start(hub, "d")
    start(hub, "e")


async def test_recordings_which_take_all_time_there_is_keep_nobody_out_until_audio_waits(
    hub, press
):
    start(hub, "a", live=False)
    press(FULL)
    live = start(hub, "b")
    start(hub, "c", live=False)
    live.status.lag = 0.2
    with pytest.raises(BusyError, match="no time left"):
        start(hub, "d")


async def test_a_conversation_that_goes_on_after_a_lost_connection_has_its_place(hub, press):
    start(hub, "a")
    press(FULL)
    assert await hub.end("a")
    start(hub, "a", again=True)
    assert not await hub.end("b")

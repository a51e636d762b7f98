"""Which conversations a server takes."""

import pytest

from streamer.runtime.pressure import FULL
from streamer.sources import SourceInfo
from streamer.sources.network import NetworkSource
from streamer.web.hub import BusyError, Hub
from tests.end_to_end.conversations import engine_for


def start(hub, session, *, live=True):
    source = NetworkSource(SourceInfo(session, ("agent",), live, session), 30.0)
    return hub.start(session, source)


async def test_takes_no_more_while_half_of_the_live_conversations_are_behind(random_bundle):
    with engine_for(random_bundle) as engine:
        hub = Hub(engine, lambda *_: (), most=10)
        first, second, third = (start(hub, session) for session in "abc")
        start(hub, "recording", live=False).status.lag = 60.0
        first.status.lag = 3.0
        start(hub, "d")
        second.status.lag = third.status.lag = 3.0
        with pytest.raises(BusyError, match=r"3.0 s behind"):
            start(hub, "e")
        second.status.lag = 0.0
        start(hub, "e")
        await hub.close(20.0)


async def test_takes_no_more_while_workers_are_busy_and_audio_waits(random_bundle, monkeypatch):
    with engine_for(random_bundle) as engine:
        monkeypatch.setattr(type(engine.runtime), "pressure", FULL)
        hub = Hub(engine, lambda *_: (), most=10)
        first = start(hub, "a")
        start(hub, "b")
        for each in hub.running.values():
            each.status.lag = 0.2
        with pytest.raises(BusyError, match=r"0.2 s behind"):
            start(hub, "c")
        first.status.lag = 0.05
        start(hub, "c")
        await hub.close(20.0)

"""What watchers of a conversation are given."""

from streamer import events
from streamer.web.broadcast import Broadcast
from tests.event_streams import conversation


async def broadcast(count):
    made = Broadcast()
    for event in conversation(count):
        await made.emit(event)
    made.close()
    return made


async def test_a_late_watcher_gets_the_same_events_but_estimates():
    made = await broadcast(40)
    with made.subscribe() as subscription:
        seen = [event async for event in subscription]
    assert seen == [e for e in conversation(40) if not isinstance(e, events.SpeechUpdate)]


async def test_a_watcher_who_was_there_before_gets_what_followed():
    made = await broadcast(40)
    with made.subscribe(after=20) as subscription:
        assert min([event.seq async for event in subscription]) > 20


async def test_the_past_is_bounded_and_keeps_its_first_event(monkeypatch):
    monkeypatch.setattr("streamer.web.broadcast._HISTORY", 10)
    made = await broadcast(200)
    assert len(made.history) == 10
    assert made.history[0].seq == 0
    assert made.history[1].seq > 100

"""The subscriber: each event once, in order, with missing ones noticed."""

import asyncio
import contextlib
import json
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

import streamer
from streamer import events
from streamer.errors import UserError
from streamer.mqtt.items import (
    Availability,
    ConnectionChange,
    EventOrder,
    MissingEvents,
    ReceivedEvent,
    RetainedState,
)
from streamer.mqtt.selection import Selection
from streamer.mqtt.subscriber import follow
from streamer.settings import load as configuration
from tests.brokers import wait_for
from tests.event_streams import conversation

SETTINGS = configuration.load(environment={})


@pytest.fixture(autouse=True)
def _quick_reconnections(monkeypatch):
    monkeypatch.setattr("streamer.mqtt.backoff.LONGEST", 0.3)


def take_all(order: EventOrder, payloads, node: str = "desk") -> list:
    return [item for payload in payloads for item in order.take(node, payload)]


def encoded(stream) -> list[bytes]:
    return [event.to_json().encode() for event in stream]


@given(st.integers(0, 2**32), st.integers(2, 30))
def test_repeats_after_reconnections_are_dropped(seed, count):
    chance = random.Random(seed)
    stream = encoded(conversation(count))
    arriving, place = [], 0
    while place < count:
        place = max(0, place - chance.randrange(5))  # sent again from a little before
        further = min(count, place + chance.randrange(1, 9))
        arriving += stream[place:further]
        place = further
    items = take_all(EventOrder(), arriving)
    assert [item.payload for item in items] == stream


def test_missing_events_precede_the_later_one():
    stream = encoded(conversation(10))
    items = take_all(EventOrder(), stream[:3] + stream[6:])
    assert items[3] == MissingEvents("desk", "call", 3, 5)
    assert [item.event.seq for item in items if isinstance(item, ReceivedEvent)] == [
        0,
        1,
        2,
        6,
        7,
        8,
        9,
    ]


def test_a_late_subscriber_misses_nothing():
    items = take_all(EventOrder(), encoded(conversation(10))[5:])
    assert [item.event.seq for item in items] == [5, 6, 7, 8, 9]


def test_omitted_events_are_not_missing():
    first, _, _, fourth, *_ = encoded(conversation(10))
    marked = fourth[:-1] + b',"after":0}'
    assert not any(
        isinstance(item, MissingEvents) for item in take_all(EventOrder(), [first, marked])
    )
    late = fourth[:-1] + b',"after":2}'
    assert take_all(EventOrder(), [first, late])[1] == MissingEvents("desk", "call", 1, 2)


def test_distinguishes_nodes_and_sessions():
    order = EventOrder()
    first = take_all(order, encoded(conversation(5)), "one")
    second = take_all(order, encoded(conversation(5)), "two")
    third = take_all(order, encoded(conversation(5, "other")), "one")
    assert [len(items) for items in (first, second, third)] == [5, 5, 5]


def test_the_same_recording_replayed_again_is_not_a_repeat():
    order = EventOrder()
    stream = list(conversation(5))
    later = [event.model_copy(update={"time": event.time.replace(year=2027)}) for event in stream]
    assert len(take_all(order, encoded([*stream, *later]))) == 10


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"x",
        b"[]",
        b"1",
        b"{}",
        b'{"session": "s", "seq": "x"}',
        b"[" * 5000,
        b"\xff",
        b'{"session": {}, "seq": 1e400}',
        b'{"session": "s", "seq": 1, "after": "x"}',
    ],
)
def test_ignores_payloads_that_are_not_events(payload):
    assert take_all(EventOrder(), [payload]) == []


def test_a_type_of_a_later_version_is_no_gap():
    stream = encoded(conversation(5))
    new = stream[2].replace(b'"type":"speech_update"', b'"type":"novelty"')
    assert new != stream[2]
    items = take_all(EventOrder(), [*stream[:2], new, *stream[3:]])
    assert [item.event.seq for item in items] == [0, 1, 3, 4]


async def collect(generator, count: int | None = None) -> list:
    """The first items; without a count, those up to the end of the session."""
    found = []
    async with asyncio.timeout(30), contextlib.aclosing(generator) as items:
        async for item in items:
            found.append(item)
            event = item.event if isinstance(item, ReceivedEvent) else item
            ended = isinstance(event, events.SessionEnded)
            if len(found) == count or (count is None and ended):
                break
    return found


async def test_subscribing_gives_typed_events(broker, make_sink):
    task = asyncio.create_task(collect(streamer.subscribe(broker.url(), settings=SETTINGS), 20))
    await subscribed(broker)
    async with make_sink(broker) as sink:
        for event in conversation(20):
            await sink.emit(event)
        found = await task
    assert found == list(conversation(20))
    assert isinstance(found[0], events.SessionStarted)


async def subscribed(broker, times: int = 1) -> None:
    """Wait until clients other than publishers have subscribed."""
    log = broker.directory / "log"
    await asyncio.to_thread(
        wait_for, lambda: log.read_text().count("/+/+ (QoS 1)") >= times, what="a subscription"
    )


async def test_only_one_session_or_node(broker, make_sink):
    one = asyncio.create_task(
        collect(streamer.subscribe(broker.url(), session="b c", settings=SETTINGS), 10)
    )
    node = asyncio.create_task(
        collect(streamer.subscribe(broker.url(), node="desk", settings=SETTINGS), 20)
    )
    log = broker.directory / "log"
    await asyncio.to_thread(wait_for, lambda: log.read_text().count("availability (QoS 1)") >= 2)
    async with make_sink(broker, node="other") as sink:
        for event in conversation(5, "x"):
            await sink.emit(event)
    async with make_sink(broker) as sink:
        for session in ("a", "b c"):
            for event in conversation(10, session):
                await sink.emit(event)
        assert {event.session for event in await one} == {"b c"}
        assert [event.session for event in await node] == ["a"] * 10 + ["b c"] * 10


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
async def test_reconnects_without_missing_events(broker, make_sink, protocol):
    settings = configuration.load(environment={}, overrides={"mqtt.protocol": protocol})
    items = follow(broker.url(), durable="archive", settings=settings)
    task = asyncio.create_task(collect(items))
    await subscribed(broker)
    async with make_sink(broker, flush=20) as sink:
        for number, event in enumerate(conversation(300)):
            await sink.emit(event)
            if number in {100, 200}:
                await asyncio.to_thread(broker.restart)
        found = await task
    arrived = [item.event.seq for item in found if isinstance(item, ReceivedEvent)]
    assert arrived == list(range(300))
    assert not any(isinstance(item, MissingEvents) for item in found)
    links = [item.problem is None for item in found if isinstance(item, ConnectionChange)]
    assert links in ([False, True], [False, True] * 2)


async def test_a_durable_subscriber_gets_the_events_of_its_absence(broker, make_sink):
    def follower():
        return streamer.subscribe(broker.url(), durable="archive", settings=SETTINGS)

    task = asyncio.create_task(collect(follower(), 1))
    await subscribed(broker)
    async with make_sink(broker) as sink:
        await sink.emit(next(conversation()))
        await task
        for event in list(conversation(50))[1:]:
            await sink.emit(event)
    # The event during which it stopped comes again.
    assert await collect(follower(), 50) == list(conversation(50))


async def test_joining_in_the_middle_brings_the_state_of_each_speaker(broker, make_sink):
    async with make_sink(broker) as sink:
        for event in list(conversation(30))[:20]:
            await sink.emit(event)
        await asyncio.to_thread(wait_for, lambda: not sink.waiting)
        found = await collect(follow(broker.url(), settings=SETTINGS), 3)
    assert Availability("desk", "online") in found
    speakers = {item.state.channel: item.state for item in found if isinstance(item, RetainedState)}
    assert speakers["agent"].mood.probabilities
    assert speakers["customer"].session == "call"


async def test_no_broker_is_an_error_at_once(make_broker):
    broker = make_broker(start=False)
    with pytest.raises(UserError, match="connection refused"):
        await collect(streamer.subscribe(broker.url(), settings=SETTINGS), 1)


async def test_an_anonymous_client_is_refused_at_once(make_broker):
    broker = make_broker("allow_anonymous false")
    with pytest.raises(UserError, match="not authori"):
        await collect(streamer.subscribe(broker.url(), settings=SETTINGS), 1)


async def test_left_out_types_are_no_gaps_for_the_subscriber(broker, make_sink):
    task = asyncio.create_task(collect(follow(broker.url(), settings=SETTINGS)))
    await subscribed(broker)
    async with make_sink(broker, types=["session_started", "utterance", "session_ended"]) as sink:
        for event in conversation(50):
            await sink.emit(event)
        found = await task
    assert not any(isinstance(item, MissingEvents) for item in found)
    types = [item.event.type for item in found if isinstance(item, ReceivedEvent)]
    assert types == ["session_started", *["utterance"] * 8, "session_ended"]


def test_the_first_event_after_omitted_ones_names_its_predecessor():
    selection = Selection(("utterance",))
    published = [
        json.loads(payload)
        for event in conversation(20)
        if (payload := selection.payload(event)) is not None
    ]
    assert [(event["seq"], event["after"]) for event in published] == [(5, None), (11, 5), (17, 11)]


def test_refuses_an_unknown_type():
    with pytest.raises(UserError, match=r"mqtt\.types: no such event: nonsense"):
        Selection(("nonsense",))

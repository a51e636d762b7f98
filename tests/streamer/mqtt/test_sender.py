"""Repeats, back-off and refusals, over links that break."""

import asyncio
import contextlib
from collections import Counter

import pytest

from streamer.mqtt import backoff
from streamer.mqtt.address import broker as broker_of
from streamer.mqtt.age import AgeClock
from streamer.mqtt.backoff import Backoff
from streamer.mqtt.connection import connect
from streamer.mqtt.database import StoredEvent
from streamer.mqtt.outbox import Outbox
from streamer.mqtt.problems import BrokerError
from streamer.mqtt.sender import REPEAT, Sender
from streamer.settings import load as configuration
from tests.brokers import Recorder, wait_for
from tests.event_streams import conversation
from tests.streamer.mqtt.test_delivery import large, sequences
from tools.benchmark.broker import CutLink


class Clock:
    """Seconds set by the test."""

    def __init__(self) -> None:
        self.now = 100.0

    def seconds(self) -> float:
        return self.now


class Rig:
    """A sender with a real outbox, over real connections that the test opens and breaks."""

    def __init__(self, tmp_path, port: int) -> None:
        self.clock = Clock()
        self.given_up: list[str] = []
        self.outbox = Outbox(
            tmp_path / "box.sqlite",
            limit=1e7,
            max_age=1e6,
            problem=print,
            given_up=print,
            clock=AgeClock(),
        )
        settings = configuration.load(environment={}, overrides={"mqtt.node": "desk"})
        self.target = broker_of(settings.mqtt, f"mqtt://127.0.0.1:{port}")
        self.sender = Sender(
            self.outbox,
            self.target.topics,
            follow=lambda event: None,
            give_up=self._give_up,
            clock=self.clock,
        )

    def _give_up(self, event: StoredEvent, reason: str) -> None:
        self.outbox.remove(event.id)
        self.given_up.append(reason)

    def put(self, stream) -> None:
        for event in stream:
            self.outbox.put(StoredEvent(event.session, event.type, event.to_json().encode()))

    async def connection(self, *, until=lambda: True) -> bool:
        """Send over a new connection until a condition holds or it breaks; give whether it was useful."""
        with contextlib.suppress(BrokerError):
            async with connect(self.target, identifier="test") as connection:
                sending = asyncio.create_task(self.sender.run(connection, _nothing))
                lost = asyncio.create_task(connection.lost())
                holds = asyncio.create_task(_holds(until))
                await asyncio.wait({sending, lost, holds}, return_when="FIRST_COMPLETED")
                for task in (sending, lost, holds):
                    task.cancel()
                await asyncio.gather(sending, lost, holds, return_exceptions=True)
        return self.sender.connection_lost()


async def _nothing() -> None:
    pass


async def _holds(condition) -> None:
    await asyncio.to_thread(wait_for, condition)


@pytest.fixture
async def rig(broker, tmp_path):
    link = CutLink(broker.port)
    async with link.listening() as port:
        rig = Rig(tmp_path, port)
        rig.link = link
        await rig.outbox.open()
        yield rig
        await rig.outbox.close()


async def test_repeats_events_only_within_seconds_of_their_first_acknowledgement(rig):
    rig.put(conversation(30))
    assert await rig.connection(until=lambda: rig.outbox.waiting == 0)
    sent_before = rig.link.events()[0]
    assert sent_before == list(range(30))
    for _ in range(3):
        rig.clock.now += REPEAT / 4
        number = len(rig.link.sent)
        assert not await rig.connection(
            until=lambda number=number: (
                len(rig.link.events()[number:]) == 1 and len(rig.link.events()[number]) == 30
            )
        )
        assert rig.link.events()[number] == sent_before
    rig.clock.now += REPEAT / 2  # counted from the first acknowledgement, not from the last repeat
    rig.put([next(conversation(session="other"))])
    assert await rig.connection(until=lambda: rig.outbox.waiting == 0)
    assert rig.link.events()[-1] == []
    assert rig.link.events("other")[-1] == [0]


async def test_a_flapping_link_sends_each_event_once_per_connection(broker, make_sink):
    link = CutLink(broker.port, 0.6)
    recorder = Recorder(broker)
    async with link.listening() as port:
        broker.port, real = port, broker.port
        async with make_sink(broker, flush=20) as sink:
            broker.port = real
            for event in conversation(300):
                await sink.emit(event)
                await asyncio.sleep(0.01)
            await asyncio.to_thread(wait_for, lambda: not sink.waiting)
    wait_for(lambda: recorder.payloads("/session_ended"))
    recorder.close()
    assert sequences(recorder) == {"call": list(range(300))}
    assert len(link.sent) > 3
    for sent in link.events():
        assert sent == sorted(set(sent))


@pytest.mark.parametrize("protocol", ["5", "3.1.1"])
@pytest.mark.parametrize("limit", ["message_size_limit 400", "max_packet_size 400"])
async def test_events_over_the_brokers_limit_do_not_block_the_rest(
    make_broker, make_sink, limit, protocol
):
    """A limit under the size of utterances and states: with MQTT 3.1.1 the broker does not say why."""
    broker = make_broker("allow_anonymous true", limit)
    recorder = Recorder(broker)
    sink = make_sink(broker, protocol=protocol, flush=20)
    reports = []
    sink.report = reports.append
    async with sink:
        for event in large(conversation(8), 3, 900):
            await sink.emit(event)
        await asyncio.to_thread(wait_for, lambda: not sink.waiting)
    recorder.close()
    assert 3 not in sequences(recorder).get("call", [])
    if not (limit.startswith("message") and protocol == "3.1.1"):  # which it drops without a word
        assert any("events given up" in line for line in reports)


class Deaf:
    """A connection to a broker that acknowledges nothing."""

    receive_maximum, maximum_packet = 100, None

    def __init__(self) -> None:
        self.sent = asyncio.Event()

    def send(self, *_) -> None:
        self.sent.set()


async def broken(sender, *, sent: bool) -> None:
    """Break a connection, before anything is sent or as soon as something is."""
    connection = Deaf()
    sending = asyncio.create_task(sender.run(connection, _nothing))
    if sent:
        await connection.sent.wait()
    else:
        await asyncio.sleep(0.05)
        assert not connection.sent.is_set()
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    sender.connection_lost()


async def test_gives_up_an_event_that_breaks_every_connection_that_lasts_without_it(rig):
    rig.put([next(conversation())])
    for _ in range(3):
        await broken(rig.sender, sent=True)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await rig.sender.run(Deaf(), _nothing)
    assert len(rig.given_up) == 1


async def test_blames_no_event_for_connections_that_break_without_it(rig):
    rig.put([next(conversation())])
    for _ in range(6):
        await broken(rig.sender, sent=True)
        await broken(rig.sender, sent=False)
    assert rig.given_up == []


async def test_backs_off_with_jitter_to_a_minute():
    first = [Backoff().next() for _ in range(50)]
    assert all(0.25 <= delay <= 0.5 for delay in first)
    assert len({round(delay, 6) for delay in first}) > 1
    delays = Backoff()
    series = [delays.next() for _ in range(30)]
    assert all(30 <= delay <= backoff.LONGEST == 60 for delay in series[10:])
    delays.reset()
    assert delays.next() <= 0.5
    assert Counter(30 <= Backoff.after_refusal() <= 60 for _ in range(20)) == {True: 20}

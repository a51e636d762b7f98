"""A fleet: every node's condition, from its retained topics."""

import asyncio
import contextlib
import io
import json
from datetime import UTC, datetime, timedelta

import pytest

from streamer.errors import UserError
from streamer.mqtt.address import broker as broker_of
from streamer.mqtt.fleet import STALE, Fleet, FleetNode, follow_fleet
from streamer.mqtt.items import ConnectionChange
from streamer.mqtt.reader import Reading
from streamer.settings import load as configuration
from tests.brokers import wait_for
from tests.event_streams import conversation


class Clock:
    """Seconds set by the test."""

    now_seconds = 1000.0

    def seconds(self) -> float:
        return self.now_seconds


def target(broker, **settings):
    overrides = {f"mqtt.{key}": value for key, value in settings.items()}
    return broker_of(configuration.load(environment={}, overrides=overrides).mqtt, broker.url())


@contextlib.asynccontextmanager
async def following(broker, **settings):
    """A fleet that is kept up to date, and the connection changes."""
    where = target(broker, **settings)
    fleet, changes = Fleet(where.topics.prefix), []

    async def follow() -> None:
        async with contextlib.aclosing(follow_fleet(where, fleet)) as found:
            async for change in found:
                if isinstance(change, ConnectionChange):
                    changes.append(change)  # noqa: PERF401 - seen by the test as they come

    task = asyncio.create_task(follow())
    try:
        yield fleet, changes
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(condition) -> None:
    await asyncio.to_thread(wait_for, condition)


@pytest.mark.parametrize("protocol", ["auto", "3.1.1"])
async def test_follows_nodes_from_their_start_to_their_end(broker, make_sink, protocol):
    async with following(broker, protocol=protocol) as (fleet, _):
        async with make_sink(broker, node="one") as one, make_sink(broker, node="two"):
            for event in list(conversation(30))[:20]:
                await one.emit(event)
            await until(lambda: fleet.conditions() == {"busy": 1, "idle": 1})
            node = fleet.nodes["one"]
            await until(lambda: node.state.utterances == 3)
            assert node.state.session == "call"
            assert node.state.channels == ["agent", "customer"]
            assert node.state.lag_ms == 559
            assert node.instance.version
            assert node.last_seen(node.heard + 2, datetime.now(UTC)) == 2
        await until(lambda: fleet.conditions() == {"stopped": 2})
        assert fleet.nodes["one"].instance.version  # of the last process


async def test_learns_all_nodes_from_retained_messages(broker, make_sink):
    async with make_sink(broker, node="one") as one:
        for event in conversation(30):
            await one.emit(event)
    async with following(broker) as (fleet, _):
        await until(lambda: "one" in fleet.nodes and fleet.nodes["one"].state.utterances == 4)
        node = fleet.nodes["one"]
        assert node.heard is None
        wall = node.state.time + timedelta(seconds=60)
        assert node.last_seen(0.0, wall) == 60


async def test_a_restarted_broker_is_found_again(broker, make_sink):
    async with following(broker) as (fleet, changes), make_sink(broker, node="one"):
        await until(lambda: fleet.conditions() == {"idle": 1})
        await asyncio.to_thread(broker.restart)
        await until(lambda: len(changes) == 2)
        assert changes[0].problem
        assert changes[1].problem is None


async def test_an_absent_broker_is_an_error(make_broker):
    broker = make_broker(start=False)
    fleet = Fleet("streamer")
    with pytest.raises(UserError, match="refused"):
        async for _ in follow_fleet(target(broker), fleet):
            pass


async def test_a_refusal_is_an_error(make_broker):
    broker = make_broker("allow_anonymous false")
    with pytest.raises(UserError, match="uthori"):
        async for _ in follow_fleet(target(broker), Fleet("streamer")):
            pass


def diagnostics(**fields) -> Reading:
    return Reading("p/n/diagnostics", json.dumps(fields).encode(), False)


def test_the_most_urgent_condition_counts():
    clock = Clock()
    fleet = Fleet("p", clock)

    def condition() -> str:
        return fleet.nodes["n"].condition(clock.now_seconds)

    fleet.take(Reading("p/n/availability", b"online", False))
    assert condition() == "idle"
    fleet.take(diagnostics(session="s"))
    assert condition() == "busy"
    fleet.take(diagnostics(session="s", shed_audio=1.0))
    assert condition() == "lossy"
    clock.now_seconds += STALE + 1
    assert condition() == "silent"
    fleet.take(Reading("p/n/availability", b"offline", False))
    assert condition() == "offline"
    fleet.take(Reading("p/n/availability", b"stopped", False))
    assert condition() == "stopped"


@pytest.mark.parametrize(
    ("topic", "payload"),
    [
        ("p/n/availability", b"\xff"),
        ("p/n/availability", b"dancing"),
        ("p/n/instance", b"[" * 5000),
        ("p/n/instance", b""),
        ("p/n/diagnostics", b'{"lag_ms": "x"}'),
        ("p/n/diagnostics", b""),
        ("p/n/other", b"x"),
        ("p/n/call/utterance", b"{}"),
        ("p", b""),
    ],
)
def test_ignores_messages_that_are_none_of_a_nodes(topic, payload):
    fleet = Fleet("p")
    assert fleet.take(Reading(topic, payload, False)) is None
    assert fleet.nodes == {}


def test_the_table_shows_urgent_nodes_first_and_no_control_characters():
    from rich.console import Console

    from streamer.commands.fleet import fleet_table

    fleet = Fleet("p")
    for name, availability in (("fine", "online"), ("gone\x1b[2J[bold]", "offline")):
        fleet.nodes[name] = FleetNode(name, availability)
    console = Console(width=160, file=io.StringIO())
    console.print(fleet_table(fleet, 5))
    text = console.file.getvalue()
    assert "2 nodes: 1 offline, 1 idle" in text
    assert text.index("gone") < text.index("fine")
    assert "\x1b" not in text
    assert "[bold]" in text

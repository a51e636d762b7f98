"""Mutated outboxes of MQTT: each takes new events and gives them back, whatever became of the old ones."""

import asyncio
from pathlib import Path

from numpy.random import Generator

from streamer.mqtt.database import StoredEvent
from streamer.mqtt.outbox import Outbox
from tools.fuzz import running
from tools.fuzz.mutation import mutated

_EVENTS = 60
_NEW = 3


def prepare(folder: Path) -> running.Attempt:
    """Make an outbox with events."""
    whole = folder / "whole.sqlite"
    asyncio.run(_filled(whole, _events("old", _EVENTS)))
    data = whole.read_bytes()

    def attempt(rng: Generator) -> str:
        file = folder / "case.sqlite"
        file.write_bytes(mutated(data, rng))
        try:
            return asyncio.run(_filled(file, _events("new", _NEW)))
        finally:
            for left in folder.glob("case*"):
                left.unlink()

    return attempt


def _events(session: str, count: int) -> list[StoredEvent]:
    return [StoredEvent(session, "utterance", b"%0200d" % number) for number in range(count)]


async def _filled(file: Path, added: list[StoredEvent]) -> str:
    """Put events into an outbox, get them back and remove all; return what became of the old ones."""
    problems: list[str] = []
    box = Outbox(
        file,
        limit=1e7,
        max_age=3600,
        problem=problems.append,
        given_up=lambda _types, reason: problems.append(reason),
    )
    await box.open()
    try:
        for event in added:
            box.put(event)
        await box.stored()
        held = await box.fetch(0, 10 * _EVENTS)
        if [event.payload for event in held[-len(added) :]] != [each.payload for each in added]:
            raise ValueError("the new events did not come back, in order, after the old ones")
        if added[0].session == "new":
            for event in held:
                box.remove(event.id)
            await box.stored()
    finally:
        await box.close()
    whole = sum(event.session == "old" for event in held) == _EVENTS
    if not problems:
        return "intact" if whole else "changed"
    return "set aside, all salvaged" if whole else "set aside"


add_arguments = running.add_arguments
run = running.command(prepare)

"""Outboxes for tests: their reports, events to put in, and a machine whose uptime the test sets."""

from collections import Counter
from pathlib import Path

from streamer.mqtt.database import StoredEvent
from streamer.mqtt.outbox import Outbox


class Machine:
    """A machine's uptime, set by the test."""

    def __init__(self) -> None:
        self.boot = "first"
        self.uptime = 50.0

    def seconds(self) -> float:
        return self.uptime


class Reports:
    """What an outbox says."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        self.given_up: Counter[str] = Counter()
        self.reasons: set[str] = set()

    def give_up(self, types: Counter[str], reason: str) -> None:
        self.given_up.update(types)
        self.reasons.add(reason)

    def outbox(
        self, file: Path, *, limit: float = 1e6, max_age: float = 3600, clock=None
    ) -> Outbox:
        return Outbox(
            file,
            limit=limit,
            max_age=max_age,
            problem=self.problems.append,
            given_up=self.give_up,
            clock=clock,
        )


def entries(
    count: int, kind: str = "utterance", size: int = 10, first: int = 0
) -> list[StoredEvent]:
    return [StoredEvent("s", kind, b"%0*d" % (size, first + number)) for number in range(count)]


async def filled(box: Outbox, *lots: list[StoredEvent]) -> Outbox:
    await box.open()
    for lot in lots:
        for entry in lot:
            box.put(entry)
    await box.stored()
    return box


async def held(box: Outbox) -> list[bytes]:
    return [entry.payload for entry in await box.fetch(0, 100_000)]


def payloads(lot: list[StoredEvent]) -> list[bytes]:
    return [entry.payload for entry in lot]


async def filled_more(box: Outbox, lot: list[StoredEvent]) -> None:
    for entry in lot:
        box.put(entry)
    await box.stored()

"""The outbox: order, bounds, ages."""

import sqlite3
from collections import Counter

import pytest

from streamer.errors import UserError
from streamer.mqtt.age import AgeClock
from tests.streamer.mqtt.outboxes import (
    Machine,
    entries,
    filled,
    filled_more,
    held,
    payloads,
)


async def test_events_stay_in_order_until_they_are_removed(reports, file):
    box = await filled(reports.outbox(file), entries(500))
    found = await box.fetch(0, 1000)
    assert payloads(found) == payloads(entries(500))
    assert payloads(await box.fetch(found[99].id, 50)) == payloads(entries(50, first=100))
    for entry in found[:-1]:
        box.remove(entry.id)
    await box.stored()
    assert await held(box) == [found[-1].payload]
    assert box.waiting == 1
    await box.close()


async def test_the_next_run_continues_the_outbox(reports, file):
    box = await filled(reports.outbox(file), entries(3))
    await box.close()
    box = await filled(reports.outbox(file), entries(2, first=3))
    assert await held(box) == payloads(entries(5))
    assert box.waiting == 5
    await box.close()


async def test_files_are_for_their_owner_alone(reports, file):
    box = await filled(reports.outbox(file), entries(1))
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0
    await box.close()


async def test_refuses_a_second_process_with_the_holders_id(reports, file):
    box = await filled(reports.outbox(file))
    with pytest.raises(UserError, match=r"another streamer \(process \d+\).*mqtt.node"):
        await reports.outbox(file).open()
    await box.close()
    again = reports.outbox(file)
    await again.open()
    await again.close()


async def test_gives_up_updates_first_and_then_the_oldest_when_full(reports, file):
    box = reports.outbox(file, limit=25_000)
    await filled(box, entries(50, size=100), entries(100, "speech_update", size=100))
    found = await box.fetch(0, 1000)
    kept = Counter(entry.type for entry in found)
    assert kept["utterance"] == 50
    assert kept["speech_update"] == 100 - reports.given_up["speech_update"] < 100
    assert [e.payload for e in found if e.type == "speech_update"][-1] == b"%0100d" % 99
    await filled_more(box, entries(200, size=100, first=50))
    found = await box.fetch(0, 1000)
    assert {entry.type for entry in found} == {"utterance"}
    numbers = [int(entry.payload) for entry in found]
    assert numbers == list(range(numbers[0], 250))
    assert sum(len(entry.payload) for entry in found) < 25_000
    assert reports.given_up["utterance"] == numbers[0]
    await box.close()


async def test_gives_up_events_that_are_too_old(reports, file):
    machine = Machine()
    box = await filled(reports.outbox(file, clock=AgeClock(machine)), entries(3))
    await box.close()
    machine.uptime += 7200
    later = reports.outbox(file, max_age=3600, clock=AgeClock(machine))
    box = await filled(later, entries(1, first=3))
    assert await held(box) == payloads(entries(1, first=3))
    assert reports.given_up == {"utterance": 3}
    assert reports.reasons == {"older than mqtt.retention"}
    await box.close()


async def test_a_restart_of_the_machine_gives_up_nothing(reports, file):
    machine = Machine()
    box = await filled(reports.outbox(file, clock=AgeClock(machine)), entries(3))
    await box.close()
    for boot in ("second", "third"):
        machine.boot, machine.uptime = boot, 1e9  # even with an uptime that cannot be compared
        box = await filled(reports.outbox(file, max_age=3600, clock=AgeClock(machine)))
        assert await held(box) == payloads(entries(3))
        await box.close()
    assert not reports.given_up


async def test_ages_add_up_over_restarts_of_the_machine(reports, file):
    machine = Machine()
    for number in range(4):
        box = reports.outbox(file, max_age=3600, clock=AgeClock(machine))
        await filled(box, entries(1, first=number))
        machine.uptime += 1500
        await filled_more(box, entries(1, "mood", first=number))
        await box.close()
        machine.boot, machine.uptime = f"boot {number}", 10.0
    box = await filled(reports.outbox(file, max_age=3600, clock=AgeClock(machine)))
    kept = [entry for entry in await box.fetch(0, 100) if entry.type == "utterance"]
    assert [int(entry.payload) for entry in kept] == [2, 3]
    await box.close()


async def test_an_outbox_of_the_former_version_is_delivered(reports, file):
    file.parent.mkdir()
    with sqlite3.connect(file) as database:
        database.executescript(
            "PRAGMA user_version = 1; CREATE TABLE outbox (id INTEGER PRIMARY KEY, created REAL "
            "NOT NULL, session TEXT NOT NULL, type TEXT NOT NULL, payload BLOB NOT NULL);"
        )
        database.execute("INSERT INTO outbox VALUES (7, 1.7e9, 's', 'utterance', x'61')")
    database.close()
    box = await filled(reports.outbox(file), entries(1))
    assert [entry.payload for entry in await box.fetch(0, 10)] == [b"a", *payloads(entries(1))]
    assert not reports.problems
    await box.close()

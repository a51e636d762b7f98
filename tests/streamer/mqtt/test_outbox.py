import asyncio
import random
import resource
import sqlite3
import subprocess
import sys
import textwrap
from collections import Counter
from pathlib import Path

import pytest

from streamer.errors import UserError
from streamer.mqtt.age import AgeClock
from streamer.mqtt.database import StoredEvent
from streamer.mqtt.outbox import Outbox


class Machine:
    """A machine's uptime, set by the test."""

    def __init__(self) -> None:
        self.boot = "first"
        self.uptime = 50.0

    def seconds(self) -> float:
        return self.uptime


class Told:
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


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "state" / "node.sqlite"


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


async def test_events_stay_in_order_until_they_are_removed(told, file):
    box = await filled(told.outbox(file), entries(500))
    found = await box.fetch(0, 1000)
    assert payloads(found) == payloads(entries(500))
    assert payloads(await box.fetch(found[99].id, 50)) == payloads(entries(50, first=100))
    for entry in found[:-1]:
        box.remove(entry.id)
    await box.stored()
    assert await held(box) == [found[-1].payload]
    assert box.waiting == 1
    await box.close()


async def test_the_next_run_finds_what_the_last_one_left_and_appends(told, file):
    box = await filled(told.outbox(file), entries(3))
    await box.close()
    box = await filled(told.outbox(file), entries(2, first=3))
    assert await held(box) == payloads(entries(5))
    assert box.waiting == 5
    await box.close()


async def test_files_are_for_their_owner_alone(told, file):
    box = await filled(told.outbox(file), entries(1))
    assert file.stat().st_mode & 0o077 == 0
    assert file.parent.stat().st_mode & 0o077 == 0
    await box.close()


async def test_a_second_process_is_told_who_has_the_outbox(told, file):
    box = await filled(told.outbox(file))
    with pytest.raises(UserError, match=r"another streamer \(process \d+\).*mqtt.node"):
        await told.outbox(file).open()
    await box.close()
    again = told.outbox(file)
    await again.open()
    await again.close()


async def test_when_full_updates_go_first_and_then_the_oldest(told, file):
    box = told.outbox(file, limit=25_000)
    await filled(box, entries(50, size=100), entries(100, "speech_update", size=100))
    found = await box.fetch(0, 1000)
    kept = Counter(entry.type for entry in found)
    assert kept["utterance"] == 50
    assert kept["speech_update"] == 100 - told.given_up["speech_update"] < 100
    assert [e.payload for e in found if e.type == "speech_update"][-1] == b"%0100d" % 99
    await filled_more(box, entries(200, size=100, first=50))
    found = await box.fetch(0, 1000)
    assert {entry.type for entry in found} == {"utterance"}
    numbers = [int(entry.payload) for entry in found]
    assert numbers == list(range(numbers[0], 250))
    assert sum(len(entry.payload) for entry in found) < 25_000
    assert told.given_up["utterance"] == numbers[0]
    await box.close()


async def filled_more(box: Outbox, lot: list[StoredEvent]) -> None:
    for entry in lot:
        box.put(entry)
    await box.stored()


async def test_what_is_too_old_is_given_up(told, file):
    machine = Machine()
    box = await filled(told.outbox(file, clock=AgeClock(machine)), entries(3))
    await box.close()
    machine.uptime += 7200
    later = told.outbox(file, max_age=3600, clock=AgeClock(machine))
    box = await filled(later, entries(1, first=3))
    assert await held(box) == payloads(entries(1, first=3))
    assert told.given_up == {"utterance": 3}
    assert told.reasons == {"older than mqtt.retention"}
    await box.close()


async def test_a_restart_of_the_machine_gives_up_nothing(told, file):
    machine = Machine()
    box = await filled(told.outbox(file, clock=AgeClock(machine)), entries(3))
    await box.close()
    for boot in ("second", "third"):
        machine.boot, machine.uptime = boot, 1e9  # even with an uptime that cannot be compared
        box = await filled(told.outbox(file, max_age=3600, clock=AgeClock(machine)))
        assert await held(box) == payloads(entries(3))
        await box.close()
    assert not told.given_up


async def test_ages_add_up_over_restarts_of_the_machine(told, file):
    machine = Machine()
    for number in range(4):
        box = told.outbox(file, max_age=3600, clock=AgeClock(machine))
        await filled(box, entries(1, first=number))
        machine.uptime += 1500
        await filled_more(box, entries(1, "mood", first=number))
        await box.close()
        machine.boot, machine.uptime = f"boot {number}", 10.0
    box = await filled(told.outbox(file, max_age=3600, clock=AgeClock(machine)))
    kept = [entry for entry in await box.fetch(0, 100) if entry.type == "utterance"]
    assert [int(entry.payload) for entry in kept] == [2, 3]
    await box.close()


async def test_an_outbox_of_the_former_version_is_delivered(told, file):
    file.parent.mkdir()
    with sqlite3.connect(file) as database:
        database.executescript(
            "PRAGMA user_version = 1; CREATE TABLE outbox (id INTEGER PRIMARY KEY, created REAL "
            "NOT NULL, session TEXT NOT NULL, type TEXT NOT NULL, payload BLOB NOT NULL);"
        )
        database.execute("INSERT INTO outbox VALUES (7, 1.7e9, 's', 'utterance', x'61')")
    database.close()
    box = await filled(told.outbox(file), entries(1))
    assert [entry.payload for entry in await box.fetch(0, 10)] == [b"a", *payloads(entries(1))]
    assert not told.problems
    await box.close()


async def test_a_text_that_is_not_utf8_costs_only_its_own_event(told, file):
    box = await filled(told.outbox(file), entries(5))
    await box.close()
    with sqlite3.connect(file) as database:
        database.execute("UPDATE outbox SET session = CAST(x'ff41' AS TEXT) WHERE id = 3")
    database.close()
    box = await filled(told.outbox(file))
    kept = [number for number in range(5) if number != 2]
    assert [int(payload) for payload in await held(box)] == kept
    assert "set aside" in told.problems[0]
    await box.close()


@pytest.mark.parametrize("seed", range(60))
async def test_any_mutated_outbox_takes_and_gives_new_events(told, file, seed):
    chance = random.Random(seed)
    box = await filled(told.outbox(file), entries(40, size=chance.choice([10, 300, 5000])))
    await box.close()
    content = bytearray(file.read_bytes())
    for _ in range(chance.choice([1, 1, 3, 100])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    file.write_bytes(content)
    box = await filled(told.outbox(file), entries(3, "mood", first=1000))
    async with asyncio.timeout(10):
        found = await box.fetch(0, 1000)
    assert [int(e.payload) for e in found if e.type == "mood"] == [1000, 1001, 1002]
    for entry in found:
        box.remove(entry.id)
    await box.stored()
    await box.close()


@pytest.mark.parametrize("damage", ["nonsense", "cut", "overwritten", "foreign"])
async def test_a_damaged_file_is_set_aside_and_work_goes_on(told, file, damage):
    box = await filled(told.outbox(file), entries(500))
    await box.close()
    content = file.read_bytes()
    match damage:
        case "nonsense":
            file.write_bytes(b"nonsense" * 1000)
        case "cut":
            file.write_bytes(content[: len(content) // 2])
        case "overwritten":
            file.write_bytes(content[:4096] + b"\x55" * (len(content) - 4096))
        case "foreign":
            with sqlite3.connect(file) as database:
                database.execute("PRAGMA user_version = 99")
            database.close()
    box = await filled(told.outbox(file), entries(2))
    assert await held(box) == payloads(entries(2))
    await box.close()
    (line,) = told.problems
    assert "set aside" in line
    assert len(list(file.parent.glob("*.damaged-*.sqlite"))) == 1
    box = await filled(told.outbox(file))
    assert box.waiting == 2
    await box.close()


async def test_damage_while_it_runs_does_not_stop_it(told, file):
    box = await filled(told.outbox(file), entries(2000, size=200))
    found = await box.fetch(0, 10)
    content = file.read_bytes()
    file.write_bytes(content[:100] + b"\x55" * (len(content) - 100))
    for name in file.parent.glob("*-wal"):
        name.write_bytes(b"")
    # What was cached may serve for a while; new connections and pages must meet the damage.
    await filled_more(box, entries(5000, size=200, first=2000))
    later = await box.fetch(found[-1].id, 100_000)
    assert later[-1].payload == b"%0200d" % 6999
    assert [entry.id for entry in later] == sorted(entry.id for entry in later)
    await box.close()


async def test_where_no_file_can_be_events_wait_in_memory(told, tmp_path):
    (tmp_path / "occupied").write_text("a file, not a directory")
    box = await filled(told.outbox(tmp_path / "occupied" / "node.sqlite"), entries(100))
    assert not box.on_disk
    assert await held(box) == payloads(entries(100))
    (line,) = told.problems
    assert "events wait in memory" in line
    await box.close()


async def test_a_read_only_file_is_read_and_then_memory_goes_on(told, file, monkeypatch):
    box = await filled(told.outbox(file), entries(3))
    # What SQLite says of a file system that has become read-only.
    await box._in_thread(lambda: box._store._database.execute("PRAGMA query_only = 1"))
    await filled_more(box, entries(2, first=3))
    assert await held(box) == payloads(entries(5))
    assert not box.on_disk
    assert "memory" in told.problems[0]
    await box.close()


def test_a_full_disk_moves_the_events_to_memory(tmp_path):
    # The limit on the size of files makes writing fail, as a full disk does.
    script = f"""
        import asyncio, collections, pathlib
        from streamer.mqtt.outbox import Outbox
        from streamer.mqtt.database import StoredEvent

        async def main():
            problems = []
            box = Outbox(
                pathlib.Path({str(tmp_path / "box.sqlite")!r}), limit=1e6, max_age=3600,
                problem=problems.append, given_up=lambda lost: print("lost", lost),
            )
            await box.open()
            for number in range(2000):
                box.put(StoredEvent("s", "utterance", b"%0100d" % number))
                if number % 100 == 0:
                    await box.stored()
            found = await box.fetch(0, 10_000)
            assert [int(entry.payload) for entry in found] == list(range(2000)), len(found)
            assert not box.on_disk
            print(*problems)
            await box.close()

        asyncio.run(main())
    """

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (150_000, 150_000))

    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        check=False,
        preexec_fn=limit_files,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert "memory" in done.stdout
    assert "lost" not in done.stdout


async def test_memory_is_bounded_too(told, tmp_path, monkeypatch):
    monkeypatch.setattr("streamer.mqtt.store.IN_MEMORY_LIMIT", 20_000)
    (tmp_path / "occupied").write_text("")
    box = await filled(
        told.outbox(tmp_path / "occupied" / "x.sqlite"), entries(1000, "speech_update", size=100)
    )
    assert sum(len(payload) for payload in await held(box)) <= 20_000
    assert told.given_up["speech_update"] + box.waiting == 1000
    await box.close()


def test_what_was_stored_survives_a_kill(tmp_path):
    file = tmp_path / "box.sqlite"
    script = f"""
        import asyncio, os, pathlib, signal
        from streamer.mqtt.outbox import Outbox
        from streamer.mqtt.database import StoredEvent

        async def main():
            box = Outbox(pathlib.Path({str(file)!r}), limit=1e7, max_age=3600,
                         problem=print, given_up=print)
            await box.open()
            for number in range(1000):
                box.put(StoredEvent("s", "utterance", b"%d" % number))
            await box.stored()
            for number in range(1000, 2000):
                box.put(StoredEvent("s", "utterance", b"%d" % number))
            os.kill(os.getpid(), signal.SIGKILL)

        asyncio.run(main())
    """
    killed = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], check=False, timeout=60
    )
    assert killed.returncode == -9

    async def look() -> list[int]:
        box = await filled(Told().outbox(file))
        found = [int(payload) for payload in await held(box)]
        await box.close()
        return found

    found = asyncio.run(look())
    assert found == list(range(len(found)))
    assert len(found) >= 1000

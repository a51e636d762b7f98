"""The outbox on bad disks: damage, no space, no file, sudden death."""

import asyncio
import random
import resource
import sqlite3
import subprocess
import sys
import textwrap

import pytest

from tests.streamer.mqtt.outboxes import (
    Reports,
    entries,
    filled,
    filled_more,
    held,
    payloads,
)


async def test_a_text_that_is_not_utf8_costs_only_its_own_event(reports, file):
    box = await filled(reports.outbox(file), entries(5))
    await box.close()
    with sqlite3.connect(file) as database:
        database.execute("UPDATE outbox SET session = CAST(x'ff41' AS TEXT) WHERE id = 3")
    database.close()
    box = await filled(reports.outbox(file))
    kept = [number for number in range(5) if number != 2]
    assert [int(payload) for payload in await held(box)] == kept
    assert "set aside" in reports.problems[0]
    await box.close()


@pytest.mark.parametrize("seed", range(60))
async def test_any_mutated_outbox_takes_and_gives_new_events(reports, file, seed):
    chance = random.Random(seed)
    box = await filled(reports.outbox(file), entries(40, size=chance.choice([10, 300, 5000])))
    await box.close()
    content = bytearray(file.read_bytes())
    for _ in range(chance.choice([1, 1, 3, 100])):
        content[chance.randrange(len(content))] = chance.randrange(256)
    file.write_bytes(content)
    box = await filled(reports.outbox(file), entries(3, "mood", first=1000))
    async with asyncio.timeout(10):
        found = await box.fetch(0, 1000)
    assert [int(e.payload) for e in found if e.type == "mood"] == [1000, 1001, 1002]
    for entry in found:
        box.remove(entry.id)
    await box.stored()
    await box.close()


@pytest.mark.parametrize("damage", ["nonsense", "cut", "overwritten", "foreign"])
async def test_sets_a_damaged_file_aside_and_continues(reports, file, damage):
    box = await filled(reports.outbox(file), entries(500))
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
    box = await filled(reports.outbox(file), entries(2))
    assert await held(box) == payloads(entries(2))
    await box.close()
    (line,) = reports.problems
    assert "set aside" in line
    assert len(list(file.parent.glob("*.damaged-*.sqlite"))) == 1
    box = await filled(reports.outbox(file))
    assert box.waiting == 2
    await box.close()


async def test_continues_after_damage_while_running(reports, file):
    box = await filled(reports.outbox(file), entries(2000, size=200))
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


async def test_events_wait_in_memory_without_a_file(reports, tmp_path):
    (tmp_path / "occupied").write_text("a file, not a directory")
    box = await filled(reports.outbox(tmp_path / "occupied" / "node.sqlite"), entries(100))
    assert not box.on_disk
    assert await held(box) == payloads(entries(100))
    (line,) = reports.problems
    assert "events wait in memory" in line
    await box.close()


async def test_a_file_that_becomes_read_only_continues_in_memory(reports, file, monkeypatch):
    box = await filled(reports.outbox(file), entries(3))
    # What SQLite says of a file system that has become read-only.
    await box._in_thread(lambda: box._store._database.execute("PRAGMA query_only = 1"))
    await filled_more(box, entries(2, first=3))
    assert await held(box) == payloads(entries(5))
    assert not box.on_disk
    assert "memory" in reports.problems[0]
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


async def test_memory_is_bounded(reports, tmp_path, monkeypatch):
    monkeypatch.setattr("streamer.mqtt.store.IN_MEMORY_LIMIT", 20_000)
    (tmp_path / "occupied").write_text("")
    box = await filled(
        reports.outbox(tmp_path / "occupied" / "x.sqlite"), entries(1000, "speech_update", size=100)
    )
    assert sum(len(payload) for payload in await held(box)) <= 20_000
    assert reports.given_up["speech_update"] + box.waiting == 1000
    await box.close()


def test_stored_events_survive_a_kill(tmp_path):
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
        box = await filled(Reports().outbox(file))
        found = [int(payload) for payload in await held(box)]
        await box.close()
        return found

    found = asyncio.run(look())
    assert found == list(range(len(found)))
    assert len(found) >= 1000

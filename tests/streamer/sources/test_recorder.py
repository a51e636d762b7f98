"""What is kept when the user asks for it."""

import asyncio
import os
import stat
from pathlib import Path

import numpy as np
import pytest
import soundfile

from streamer.audio import AudioChunk, Gap
from streamer.control import Control
from streamer.errors import UserError
from streamer.sources import SourceInfo
from streamer.sources.recorder import Recorder

SECOND = 16_000


class Delivers:
    """A live source of given items."""

    def __init__(self, items, channels=1):
        self._items = items
        names = tuple(f"speaker{n}" for n in range(channels))
        self.info = SourceInfo("given", names, live=True, session="s")
        self.left = False

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.left = True

    async def __aiter__(self):
        for item in self._items:
            yield item


def chunk(start, seconds=1, level=0.5, channel=0):
    return AudioChunk(channel, start * SECOND, np.full(seconds * SECOND, level, np.float32))


def record(path, items, channels=1, control=None):
    """What passes through a recorder, and what it wrote, a value for each second and channel."""

    async def scenario():
        async with Recorder(Delivers(items, channels), path, control or Control()) as recorder:
            return [item async for item in recorder]

    passed = asyncio.run(scenario())
    written, rate = soundfile.read(path, always_2d=True)
    assert rate == SECOND
    return passed, written[SECOND // 2 :: SECOND].round(2)


def test_what_is_heard_is_what_is_in_the_file_to_the_last_bit(tmp_path):
    signal = np.random.default_rng(0).normal(0, 0.4, 3 * SECOND).astype(np.float32)
    given = [AudioChunk(0, n, signal[n : n + 700]) for n in range(0, len(signal), 700)]
    passed, _ = record(tmp_path / "a.flac", given)
    assert [item.start for item in passed] == [item.start for item in given]
    heard = np.concatenate([item.samples for item in passed])
    written, _ = soundfile.read(tmp_path / "a.flac", dtype="float32")
    assert np.array_equal(heard, written)
    assert np.abs(heard - np.clip(signal, -1, 1)).max() < 1e-4


def test_only_its_owner_can_read_it_and_what_exists_is_kept(tmp_path):
    path = tmp_path / "a.flac"
    record(path, [chunk(0)])
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"a\.flac: file exists"):
        record(path, [chunk(0)])
    assert path.read_bytes() == before


def test_gaps_are_silence_however_long(tmp_path):
    _, written = record(
        tmp_path / "a.flac", [chunk(0), Gap(0, SECOND, 60 * SECOND, "away"), chunk(60)]
    )
    assert written[:, 0].tolist() == [0.5, *[0.0] * 59, 0.5]


def test_what_is_paused_is_not_written(tmp_path):
    control = Control()

    class Paused(Delivers):
        async def __aiter__(self):
            for item in self._items:
                control.paused = item.start == SECOND
                yield item

    async def scenario():
        source = Paused([chunk(0), chunk(1), chunk(2)])
        async with Recorder(source, tmp_path / "a.flac", control) as recorder:
            _ = [item async for item in recorder]

    asyncio.run(scenario())
    written, _ = soundfile.read(tmp_path / "a.flac")
    assert written[SECOND // 2 :: SECOND].round(2).tolist() == [0.5, 0.0, 0.5]


def test_channels_that_come_apart_stand_side_by_side(tmp_path):
    items = [chunk(0, 3, 0.1, 0), chunk(0, 2, 0.2, 1), chunk(3, 1, 0.1, 0), chunk(2, 2, 0.2, 1)]
    _, written = record(tmp_path / "a.flac", items, channels=2)
    assert written.tolist() == [[0.1, 0.2]] * 4


def test_a_channel_that_stays_away_does_not_fill_the_memory(tmp_path):
    first = [chunk(n, 1, 0.1, 0) for n in range(30)]
    late = [chunk(n, 1, 0.2, 1) for n in range(30)]
    _, written = record(tmp_path / "a.flac", first + late, channels=2)
    assert written[:, 0].tolist() == [0.1] * 30
    assert written[:20, 1].tolist() == [0.0] * 20
    assert written[-9:, 1].tolist() == [0.2] * 9


def test_a_full_disk_ends_the_recording_and_not_the_conversation(tmp_path, caplog):
    async def scenario(full):
        recorder = Recorder(Delivers([chunk(n) for n in range(40)]), tmp_path / "a.flac", Control())
        async with recorder:
            os.dup2(full.fileno(), recorder._file._handle.fileno())
            return [item async for item in recorder]

    with Path("/dev/full").open("wb") as full:
        assert len(asyncio.run(scenario(full))) == 40
    assert "recording stopped: it cannot be written" in caplog.text

"""Audio pushed in by a connection."""

import asyncio

import numpy as np
import pytest

from streamer.audio import SAMPLE_RATE, AudioChunk
from streamer.sources import SourceInfo
from streamer.sources.network import AheadError, NetworkSource

SECOND = np.zeros(SAMPLE_RATE, np.float32)


def source(*, live, ahead=30.0):
    return NetworkSource(SourceInfo("call", ("agent", "customer"), live, "call"), ahead)


async def flood(pushed):
    for _ in range(100):
        for channel in range(2):
            await pushed.push(channel, SECOND)


async def test_a_flood_of_live_audio_is_refused_at_once_though_nobody_reads():
    async with source(live=True) as pushed, asyncio.timeout(20):
        with pytest.raises(AheadError, match="over 30 s ahead"):
            await flood(pushed)


async def test_a_recording_waits_for_its_reader_instead():
    async with source(live=False) as pushed:
        sending = asyncio.create_task(flood(pushed))
        positions = [0, 0]
        items = aiter(pushed)
        while positions != [100 * SAMPLE_RATE] * 2:
            item = await anext(items)
            assert isinstance(item, AudioChunk)
            assert item.start == positions[item.channel]
            positions[item.channel] = item.end
            assert pushed._queue.qsize() <= 64
        await sending

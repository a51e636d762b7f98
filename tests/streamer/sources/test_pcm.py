"""Raw samples from a pipe."""

import asyncio
import os

import numpy as np
import pytest

from streamer.errors import SourceError, UserError
from streamer.sources.pcm import PcmSource
from tests.audio_files import dominant_frequency, tone


def pcm(signal):
    return (np.asarray(signal) * 32767).astype("<i2").tobytes()


async def read(data, **options):
    """What the source makes of bytes that come through a pipe, some at a time."""
    reading, writing = os.pipe()

    async def feed():
        with os.fdopen(writing, "wb") as pipe:
            for start in range(0, len(data), 7001):
                await asyncio.to_thread(pipe.write, data[start : start + 7001])
                await asyncio.to_thread(pipe.flush)

    channels = {}
    with os.fdopen(reading, "rb") as stream:
        async with PcmSource(stream=stream, **options) as source, asyncio.TaskGroup() as group:
            group.create_task(feed())
            async for chunk in source:
                held = channels.setdefault(chunk.channel, [])
                assert chunk.start == sum(map(len, held))
                held.append(chunk.samples)
    return {channel: np.concatenate(pieces) for channel, pieces in channels.items()}


async def test_samples_at_16_khz_arrive_as_they_are():
    signal = tone(440, 1.0)
    received = (await read(pcm(signal)))[0]
    assert received == pytest.approx(signal, abs=1e-4)


async def test_interleaved_channels_at_another_rate():
    signal = np.stack([tone(440, 1.0, 8000), tone(900, 1.0, 8000)], axis=1)
    channels = await read(pcm(signal), rate=8000, count=2, channels=("agent", "customer"))
    assert [dominant_frequency(channels[c]) for c in (0, 1)] == pytest.approx([440, 900], abs=2)
    assert len(channels[0]) == pytest.approx(16_000, abs=2)


async def test_nothing_is_a_conversation_without_audio():
    assert await read(b"") == {}


async def test_a_pipe_cut_off_in_the_middle_of_a_sample_says_so():
    with pytest.RaisesGroup(pytest.RaisesExc(SourceError, match="middle of a sample")):
        await read(pcm(tone(440, 0.1)) + b"\x00")


async def test_a_plain_file_as_standard_input_works_too(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(pcm(tone(440, 0.5)))
    with path.open("rb") as stream:
        async with PcmSource(stream=stream) as source:
            assert sum([len(chunk.samples) async for chunk in source]) == 8000


async def test_waiting_for_a_silent_pipe_can_be_cancelled():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb"):
        async with PcmSource(stream=stream) as source:
            waiting = asyncio.ensure_future(anext(aiter(source)))
            await asyncio.sleep(0.01)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting


async def test_a_terminal_is_not_a_recording():
    _, terminal = os.openpty()
    with (
        os.fdopen(terminal, "rb", buffering=0) as stream,
        pytest.raises(UserError, match="pipe raw 16-bit PCM"),
    ):
        await PcmSource(stream=stream).__aenter__()

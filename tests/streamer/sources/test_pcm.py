"""Raw samples from a pipe."""

import asyncio
import io
import os

import av
import numpy as np
import pytest

from streamer.errors import SourceError, UserError
from streamer.media import RAW_FORMATS
from streamer.sources.byte_reader import open_reader
from streamer.sources.pcm import PcmSource
from streamer.sources.recording.decoder import Decoder, Headerless
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
        reader = await open_reader(stream)
        async with PcmSource(reader, **options) as source, asyncio.TaskGroup() as group:
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


@pytest.mark.parametrize("encoding", RAW_FORMATS)
async def test_every_encoding_is_what_ffmpeg_makes_of_it(tmp_path, encoding):
    signal = np.random.default_rng(0).normal(0, 0.3, (4000, 2))
    data = encoded(signal, encoding)
    path = tmp_path / "raw"
    path.write_bytes(data)
    raw = Headerless(encoding, 16_000, 2)
    with Decoder(path, headerless=raw) as decoder:
        expected = np.concatenate([block.samples for block in decoder.blocks(10**9)])
    channels = await read(data, encoding=encoding, count=2)
    received = np.stack([channels[0], channels[1]], axis=1)
    assert received == pytest.approx(expected, abs=1e-6)
    assert received == pytest.approx(np.clip(signal, -1, 1), abs=0.04)


def encoded(signal, encoding):
    """The bytes that FFmpeg makes of float [n, 2]."""
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=encoding) as container:
        codec = f"pcm_{encoding}"
        stream = container.add_stream(codec, rate=16_000, layout="stereo")
        frame = av.AudioFrame.from_ndarray(
            np.clip(signal, -1, 1).astype(np.float32).reshape(1, -1), "flt", "stereo"
        )
        frame.sample_rate = 16_000
        to = av.AudioResampler(stream.codec_context.format, "stereo", 16_000)
        for converted in to.resample(frame):
            container.mux(stream.encode(converted))
        container.mux(stream.encode(None))
    return buffer.getvalue()


async def test_numbers_that_are_none_become_silence_without_a_warning():
    values = np.array([0.5, np.nan, np.inf, -np.inf, 1e30], "<f4")
    assert (await read(values.tobytes(), encoding="f32le"))[0].tolist() == [0.5, 0, 1, -1, 1]


async def test_nothing_is_a_conversation_without_audio():
    assert await read(b"") == {}


async def test_a_pipe_cut_off_in_the_middle_of_a_sample_says_so():
    with pytest.RaisesGroup(pytest.RaisesExc(SourceError, match="middle of a sample")):
        await read(pcm(tone(440, 0.1)) + b"\x00")


async def test_a_plain_file_as_standard_input_works_too(tmp_path):
    path = tmp_path / "a.raw"
    path.write_bytes(pcm(tone(440, 0.5)))
    with path.open("rb") as stream:
        async with PcmSource(await open_reader(stream)) as source:
            assert sum([len(chunk.samples) async for chunk in source]) == 8000


async def test_waiting_for_a_silent_pipe_can_be_cancelled():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb") as stream, os.fdopen(writing, "wb"):
        async with PcmSource(await open_reader(stream)) as source:
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
        await open_reader(stream)

"""Standard input: raw samples, or whatever recording its first bytes announce."""

import asyncio
import os

import numpy as np
import pytest

from streamer.audio import SAMPLE_RATE
from streamer.clock import VirtualClock
from streamer.errors import UserError
from streamer.registry import SourceContext
from streamer.settings.tree import Audio
from streamer.sources.recording import RecordingOptions
from streamer.sources.standard_input import RawFormat, StandardInput
from tests.audio_files import dominant_frequency, tone, write_audio

FORMATS = ("wav16", "mulaw", "float", "flac", "opus", "m4a", "mp3")


async def read(stream, *, live=False, raw=None):
    context = SourceContext(Audio(), VirtualClock(), live=live)
    channels = {}
    async with StandardInput(context, raw or RawFormat(), RecordingOptions(), stream) as source:
        async for chunk in source:
            channels.setdefault(chunk.channel, []).append(chunk.samples)
    return source.info, {c: np.concatenate(pieces) for c, pieces in channels.items()}


async def piped(data, **options):
    """What it makes of bytes from a pipe."""
    reading, writing = os.pipe()

    def feed():
        with os.fdopen(writing, "wb") as pipe:
            pipe.write(data)

    with os.fdopen(reading, "rb", buffering=0) as stream:
        feeding = asyncio.create_task(asyncio.to_thread(feed))
        try:
            return await read(stream, **options)
        finally:
            stream.close()
            await asyncio.gather(feeding, return_exceptions=True)


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("way", ["pipe", "file"])
async def test_a_recording_is_decoded(tmp_path, name, way):
    signal = np.stack([tone(440, 2, 48_000), tone(1000, 2, 48_000)], axis=1)
    path = write_audio(tmp_path / "a", signal, 48_000, name)
    if way == "pipe":
        info, channels = await piped(path.read_bytes())
    else:
        with path.open("rb") as stream:
            info, channels = await read(stream)
    assert info.name == "stdin"
    assert info.session.startswith("stdin-")
    assert [dominant_frequency(channels[c]) for c in (0, 1)] == pytest.approx([440, 1000], abs=2)


async def test_raw_samples_stay_raw_samples():
    signal = tone(440, 1)
    _, channels = await piped((signal * 32767).astype("<i2").tobytes())
    assert channels[0] == pytest.approx(signal, abs=1e-3)


async def test_a_named_encoding_is_believed(tmp_path):
    data = write_audio(tmp_path / "a.wav", tone(440, 1), 16_000).read_bytes()
    _, channels = await piped(data, raw=RawFormat("s16le"))
    assert len(channels[0]) == len(data) // 2


async def test_telephone_encodings_have_the_rate_of_telephones():
    _, channels = await piped(bytes(8000), raw=RawFormat("mulaw"))
    assert len(channels[0]) == pytest.approx(SAMPLE_RATE, abs=2)


@pytest.mark.parametrize("name", ["wav16", "wav24", "float", "alaw", "mulaw"])
async def test_live_audio_may_come_with_a_wav_header(tmp_path, name):
    pair = np.stack([tone(440, 1, 8000), tone(900, 1, 8000)], axis=1)
    info, channels = await piped(
        write_audio(tmp_path / "a", pair, 8000, name).read_bytes(), live=True
    )
    assert info.live
    assert [dominant_frequency(channels[c]) for c in (0, 1)] == pytest.approx([440, 900], abs=3)


async def test_other_recordings_are_refused_live(tmp_path):
    data = write_audio(tmp_path / "a", tone(440, 1, 48_000), 48_000, "opus").read_bytes()
    with pytest.raises(UserError, match="standard input is Ogg"):
        await piped(data, live=True)


async def test_big_endian_wav_is_refused():
    with pytest.raises(UserError, match="RIFX"):
        await piped(b"RIFX" + bytes(100))


async def test_the_null_device_is_the_end_of_input():
    assert (await opened("/dev/null"))[1] == {}


@pytest.mark.parametrize(
    ("path", "message"), [("/dev/zero", "is a device"), ("/dev", "is a directory")]
)
async def test_what_is_neither_pipe_nor_file_is_refused(path, message):
    with pytest.raises(UserError, match=message):
        await opened(path)


async def opened(path):
    """What it makes of a path as a shell would give it as standard input."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return await read(_Descriptor(descriptor))
    finally:
        os.close(descriptor)


class _Descriptor:
    """Reads a descriptor of any kind."""

    closed = False

    def __init__(self, descriptor):
        self._descriptor = descriptor

    def read(self, size):
        return os.read(self._descriptor, size)

    def fileno(self):
        return self._descriptor

    def isatty(self):
        return False


async def test_closed_standard_input_is_refused(monkeypatch):
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(UserError, match="is closed"):
        await read(None)


async def test_waiting_for_the_first_bytes_can_be_cancelled():
    reading, writing = os.pipe()
    with os.fdopen(reading, "rb", buffering=0) as stream, os.fdopen(writing, "wb"):
        waiting = asyncio.create_task(read(stream))
        await asyncio.sleep(0.02)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting

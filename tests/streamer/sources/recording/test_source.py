"""Recordings of any format become the same 16 kHz channels; damage is reported and skipped."""

import asyncio
import struct
from datetime import UTC, datetime

import av
import numpy as np
import pytest

from streamer.audio import AudioChunk
from streamer.clock import VirtualClock
from streamer.errors import SourceError, UserError
from streamer.sources.recording.decoder import Headerless
from streamer.sources.recording.source import RecordingSource
from tests.audio_files import CODECS, dominant_frequency, tone, write_audio


def read(path, **options):
    """The source's info, its channels' samples, and the error that ended it."""

    async def scenario():
        channels, failure = {}, None
        async with RecordingSource(path, VirtualClock(), **options) as source:
            try:
                async for item in source:
                    assert isinstance(item, AudioChunk)
                    held = channels.setdefault(item.channel, [])
                    assert item.start == sum(map(len, held))
                    held.append(item.samples)
            except SourceError as error:
                failure = error
            return source.info, {c: np.concatenate(s) for c, s in channels.items()}, failure

    return asyncio.run(scenario())


def stereo(seconds=2.0, rate=16_000):
    return np.stack([tone(440, seconds, rate), tone(1000, seconds, rate)], axis=1)


@pytest.mark.parametrize("name", CODECS)
def test_every_format_keeps_its_length_and_its_channels(tmp_path, name):
    rate = 48_000 if name == "opus" else 44_100
    info, channels, failure = read(write_audio(tmp_path / "call", stereo(2.0, rate), rate, name))
    assert failure is None
    assert info.channels == ("channel1", "channel2")
    for channel, frequency in enumerate((440, 1000)):
        samples = channels[channel]
        assert samples.dtype == np.float32
        assert len(samples) == pytest.approx(32_000, abs=1600)
        assert dominant_frequency(samples) == pytest.approx(frequency, abs=2)
        assert np.abs(samples[4000:28_000]).max() == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize("rate", [8000, 11_025, 16_000, 22_050, 32_000, 44_100, 48_000])
def test_every_rate_becomes_16_khz(tmp_path, rate):
    _, channels, _ = read(write_audio(tmp_path / "a.wav", tone(700, 1.5, rate), rate))
    assert len(channels[0]) == pytest.approx(24_000, abs=2)
    assert dominant_frequency(channels[0]) == pytest.approx(700, abs=2)


@pytest.mark.parametrize("count", [1, 2, 6, 8])
def test_up_to_eight_channels(tmp_path, count):
    signal = np.stack([tone(300 + 100 * c, 0.5) for c in range(count)], axis=1)
    info, channels, _ = read(write_audio(tmp_path / "a.wav", signal, 16_000))
    assert len(info.channels) == count
    for channel, samples in channels.items():
        assert dominant_frequency(samples) == pytest.approx(300 + 100 * channel, abs=3)


def test_channels_are_named_by_the_user(tmp_path):
    path = write_audio(tmp_path / "a.wav", stereo(), 16_000)
    assert read(path, channels=("agent", "customer"))[0].channels == ("agent", "customer")
    with pytest.raises(UserError, match=r"has 2 channels, but 1 names were given \(agent\)"):
        read(path, channels=("agent",))
    with pytest.raises(UserError, match="must differ"):
        read(path, channels=("agent", "agent"))


@pytest.mark.parametrize("name", ["wav16", "opus", "mp3"])
@pytest.mark.parametrize("gain", [1.0, -0.5])
def test_dual_mono_is_one_channel_whatever_codec_gain_or_sign(tmp_path, name, gain):
    rng = np.random.default_rng(0)
    voice = np.convolve(rng.normal(0, 0.05, 96_000), np.ones(8) / 8, "same")
    path = write_audio(tmp_path / "a", np.stack([voice, gain * voice], axis=1), 48_000, name)
    info, channels, _ = read(path)
    assert info.channels == ("mono",)
    assert list(channels) == [0]
    assert len(read(path, dual_mono=False)[0].channels) == 2


def test_two_microphones_in_one_room_are_not_dual_mono(tmp_path):
    rng = np.random.default_rng(0)
    room = rng.normal(0, 0.05, (32_000, 1))
    path = write_audio(tmp_path / "a.wav", room + rng.normal(0, 0.02, (32_000, 2)), 16_000)
    assert len(read(path)[0].channels) == 2


def test_silence_is_not_dual_mono(tmp_path):
    assert len(read(write_audio(tmp_path / "a.wav", np.zeros((8000, 2)), 16_000))[0].channels) == 2


@pytest.mark.parametrize("name", ["wav16", "mulaw", "flac", "opus", "mp3"])
def test_a_file_cut_off_in_the_middle_gives_what_is_there_and_says_so(tmp_path, name):
    rate = 48_000
    path = write_audio(tmp_path / "a", tone(440, 10, rate), rate, name)
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    _, channels, failure = read(path)
    assert failure is not None
    assert "damaged at" in str(failure)
    assert 3 * 16_000 < len(channels[0]) < 8 * 16_000


def test_a_stream_of_unknown_length_is_not_a_damaged_file(tmp_path):
    path = write_audio(tmp_path / "a.wav", tone(440, 1), 16_000)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    data[place : place + 4] = struct.pack("<I", 0xFFFFFFFF)
    path.write_bytes(bytes(data))
    assert read(path)[2] is None


def test_numbers_that_are_none_become_silence_and_loud_floats_are_clipped(tmp_path):
    path = write_audio(tmp_path / "a.wav", np.full(1600, 0.5), 16_000, "float")
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 8
    data[place : place + 8] = struct.pack("<ff", float("nan"), 1e30)
    path.write_bytes(bytes(data))
    _, channels, failure = read(path)
    assert failure is None
    assert channels[0].tolist()[:3] == [0.0, 1.0, 0.5]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"hello, this is a letter\n" * 400), "not a recording"),
        (lambda _: None, "no such file"),
    ],
)
def test_what_is_not_a_recording_is_one_clear_line(tmp_path, make, message):
    path = tmp_path / "thing"
    make(path)
    with pytest.raises(UserError, match=message):
        read(path)


def test_a_header_without_samples_is_a_recording_without_audio(tmp_path):
    path = write_audio(tmp_path / "a.wav", np.zeros(100), 16_000)
    data = path.read_bytes()
    place = data.index(b"data") + 4
    path.write_bytes(data[:place] + bytes(4))
    assert read(path)[1:] == ({}, None)


def test_the_session_is_the_same_for_the_same_recording_and_another_for_another(tmp_path):
    first = write_audio(tmp_path / "a call!.wav", tone(440, 0.1), 16_000)
    second = write_audio(tmp_path / "b.wav", tone(441, 0.1), 16_000)
    assert read(first)[0].session == read(first)[0].session
    assert read(first)[0].session.startswith("a-call-")
    assert read(first)[0].session.split("-")[-1] != read(second)[0].session.split("-")[-1]


def two_tracks(path, rates=(48_000, 48_000)):
    """A Matroska file with two mono tracks, 440 and 1000 Hz."""
    with av.open(str(path), "w", format="matroska") as container:
        streams = [container.add_stream("pcm_s16le", rate=rate, layout="mono") for rate in rates]
        for stream, rate, frequency in zip(streams, rates, (440, 1000), strict=True):
            pcm = (tone(frequency, 2, rate) * 32767).astype(np.int16).reshape(1, -1)
            frame = av.AudioFrame.from_ndarray(pcm, "s16", "mono")
            frame.sample_rate, frame.pts = rate, 0
            container.mux(stream.encode(frame))
        for stream in streams:
            container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("rates", [(48_000, 48_000), (8000, 44_100)])
def test_each_track_of_a_file_is_a_channel(tmp_path, rates):
    info, channels, failure = read(two_tracks(tmp_path / "a.mkv", rates))
    assert (failure, info.channels) == (None, ("channel1", "channel2"))
    assert info.notes == ("2 audio tracks: their channels are analysed side by side",)
    assert [dominant_frequency(channels[c]) for c in (0, 1)] == pytest.approx([440, 1000], abs=2)


def test_tracks_that_are_left_out_are_named(tmp_path):
    path = two_tracks(tmp_path / "a.mkv")
    info, channels, _ = read(path, tracks=(2,))
    assert info.notes == ("of 2 audio tracks only 2 is analysed",)
    assert dominant_frequency(channels[0]) == pytest.approx(1000, abs=2)
    with pytest.raises(UserError, match="has 2 audio tracks, no track 3"):
        read(path, tracks=(3,))


def test_merged_channels_are_named(tmp_path):
    path = write_audio(tmp_path / "a.wav", np.stack([tone(440, 2)] * 2, axis=1), 16_000)
    info, _, _ = read(path, channels=("agent", "customer"))
    assert info.channels == ("agent+customer",)
    assert info.notes == ("agent and customer carry the same signal: analysed as one channel",)


def test_audio_without_a_header_is_read_as_named(tmp_path):
    path = tmp_path / "a.ulaw"
    path.write_bytes(
        write_audio(tmp_path / "a.wav", tone(440, 2, 8000), 8000, "mulaw").read_bytes()[-16_000:]
    )
    with pytest.raises(UserError, match="--format mulaw"):
        read(path)
    _, channels, failure = read(path, headerless=Headerless("mulaw", 8000, 1))
    assert failure is None
    assert len(channels[0]) == 32_000
    assert dominant_frequency(channels[0]) == pytest.approx(440, abs=2)


def test_the_file_tells_when_the_call_was(tmp_path):
    path = tmp_path / "a.m4a"
    with av.open(str(path), "w", format="mp4") as container:
        container.metadata["creation_time"] = "2026-03-01T10:00:00.000000Z"
        stream = container.add_stream("aac", rate=16_000, layout="mono")
        frame = av.AudioFrame.from_ndarray(tone(440, 0.064).reshape(1, -1), "fltp", "mono")
        frame.sample_rate = 16_000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert read(path)[0].started == datetime(2026, 3, 1, 10, tzinfo=UTC)


async def test_a_replay_keeps_to_its_speed(tmp_path):
    path = write_audio(tmp_path / "a.wav", tone(440, 3), 16_000)
    clock = VirtualClock()
    async with RecordingSource(path, clock, speed=4.0) as source:
        async for item in source:
            assert clock.seconds() == pytest.approx(item.end / 16_000 / 4)
    assert clock.seconds() == pytest.approx(0.75)

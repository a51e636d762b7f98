"""Damage is skipped and reported; jumps of time stamps, joined files and wrong headers are no damage."""

import asyncio
import os
import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from streamer.audio import SAMPLE_RATE, AudioChunk, Gap
from streamer.clock import VirtualClock
from streamer.errors import SourceError, UserError
from streamer.sources.recording.source import RecordingSource
from tests.audio_files import CODECS, dominant_frequency, tone, write_audio

RATE = 48_000
FORMATS = CODECS | {
    "adts": ("adts", "aac"),
    "mka": ("matroska", "libopus"),
    "ts": ("mpegts", "aac"),
}


def heard(path, **options):
    """The source, its audio with silence for gaps, its gaps in seconds, and the error that ended it."""
    items = []

    async def scenario():
        async with RecordingSource(path, VirtualClock(), **options) as source:
            try:
                async for item in source:
                    items.append(item)  # noqa: PERF401 - those before an error count
            except SourceError as error:
                return source.info, str(error)
            return source.info, ""

    info, failure = asyncio.run(scenario())
    end = {}
    for item in items:
        assert item.start == end.get(item.channel, 0), "time has a hole or runs back"
        end[item.channel] = item.end
    gaps = [
        (item.start / SAMPLE_RATE, item.end / SAMPLE_RATE, item.reason)
        for item in items
        if isinstance(item, Gap) and item.channel == 0
    ]
    audio = np.zeros((len(info.channels), max(end.values(), default=0)), np.float32)
    for item in items:
        if isinstance(item, AudioChunk):
            audio[item.channel, item.start : item.end] = item.samples
    return info, audio, gaps, failure


def write(path, signal, name, *, gap=None, begin=0.0):
    """Write float [n] as a mono file whose time stamps begin at `begin` and leave out a span `gap`, in seconds."""
    container_format, codec = FORMATS[name]
    with av.open(str(path), "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=RATE, layout="mono")
        stream.time_base = Fraction(1, RATE)
        size = 960
        for offset in range(0, len(signal) - size + 1, size):
            seconds = offset / RATE
            if gap and gap[0] <= seconds < gap[1]:
                continue
            piece = np.ascontiguousarray(signal[offset : offset + size].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(piece, format="fltp", layout="mono")
            frame.sample_rate, frame.time_base = RATE, Fraction(1, RATE)
            frame.pts = offset + round(begin * RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def speech_like(seconds):
    """Noise that no codec can do without many bytes."""
    return np.random.default_rng(1).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


@pytest.mark.parametrize("name", ["opus", "m4a", "mka"])
def test_a_jump_of_time_stamps_is_a_gap_and_no_damage(tmp_path, name):
    path = write(tmp_path / "a", tone(440, 8, RATE), name, gap=(2.0, 5.0))
    _, audio, gaps, failure = heard(path)
    assert not failure
    ((start, end, reason),) = gaps
    assert start == pytest.approx(2, abs=0.08)
    assert end == pytest.approx(5, abs=0.08)
    assert reason == "missing in the recording"
    assert audio.shape[1] == pytest.approx(8 * SAMPLE_RATE, abs=1600)


@pytest.mark.parametrize("name", ["mka", "m4a"])
def test_audio_that_begins_late_stands_where_the_container_says(tmp_path, name):
    path = write(tmp_path / "a", tone(440, 2, RATE), name, begin=10.0)
    _, audio, gaps, failure = heard(path)
    assert not failure
    assert gaps[0][:2] == pytest.approx((0, 10), abs=0.05)
    assert not audio[0, : 9 * SAMPLE_RATE].any()
    assert audio.shape[1] == pytest.approx(12 * SAMPLE_RATE, abs=1600)


@pytest.mark.parametrize("name", ["flac", "opus", "mp3", "m4a", "adts", "mka"])
def test_damage_costs_what_it_hits_and_is_reported(tmp_path, name):
    path = write(tmp_path / "a", speech_like(20), name)
    data = bytearray(path.read_bytes())
    size = 3000 if name == "mka" else 300  # Opus makes something of any bytes, Matroska does not
    middle = len(data) // 2
    data[middle : middle + size] = np.random.default_rng(0).bytes(size)
    path.write_bytes(bytes(data))
    _, audio, gaps, failure = heard(path)
    assert "damaged at" in failure
    assert gaps
    assert all(reason == "damaged" for _, _, reason in gaps)
    assert sum(end - start for start, end, _ in gaps) < 6  # Matroska loses a whole cluster
    assert audio.shape[1] == pytest.approx(20 * SAMPLE_RATE, abs=1600)
    assert np.abs(audio[0, -SAMPLE_RATE:]).mean() > 0.03


@pytest.mark.parametrize("name", ["mp3", "opus", "flac", "mka", "adts", "wav16", "mulaw", "ts"])
def test_joined_files_are_one_recording(tmp_path, name):
    first = write(tmp_path / "a", tone(440, 3, RATE), name).read_bytes()
    second = write(tmp_path / "b", tone(880, 3, RATE), name).read_bytes()
    path = tmp_path / "both"
    path.write_bytes(first + second)
    _, audio, gaps, failure = heard(path)
    assert (failure, gaps) == ("", [])
    assert audio.shape[1] == pytest.approx(6 * SAMPLE_RATE, abs=1600)
    assert dominant_frequency(audio[0, :SAMPLE_RATE]) == pytest.approx(440, abs=3)
    assert dominant_frequency(audio[0, -SAMPLE_RATE:]) == pytest.approx(880, abs=3)


@pytest.mark.parametrize("name", ["m4a"])
def test_a_second_recording_that_no_decoder_reads_is_reported(tmp_path, name):
    data = write(tmp_path / "a", tone(440, 3, RATE), name).read_bytes()
    path = tmp_path / "both"
    path.write_bytes(data + data)
    assert "another recording follows" in heard(path)[3]


def test_joined_files_of_different_formats_are_converted(tmp_path):
    first = write_audio(tmp_path / "a", tone(440, 3, 48_000), 48_000, "mp3").read_bytes()
    pair = np.stack([tone(880, 3, 16_000)] * 2, axis=1)
    second = write_audio(tmp_path / "b", pair, 16_000, "mp3").read_bytes()
    (tmp_path / "both.mp3").write_bytes(first + second)
    info, audio, gaps, failure = heard(tmp_path / "both.mp3")
    assert (failure, gaps, info.channels) == ("", [], ("mono",))
    assert audio.shape[1] == pytest.approx(6 * SAMPLE_RATE, abs=3200)
    assert dominant_frequency(audio[0, -SAMPLE_RATE:]) == pytest.approx(880, abs=3)


@pytest.mark.parametrize("claimed", [0.5, 0.1])
def test_a_wav_file_longer_than_its_header_says_is_read_to_its_end(tmp_path, claimed):
    path = write_audio(tmp_path / "a.wav", tone(440, 4), 16_000)
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 4
    (size,) = struct.unpack_from("<I", data, place)
    struct.pack_into("<I", data, place, round(size * claimed) // 2 * 2)
    path.write_bytes(bytes(data))
    info, audio, _, failure = heard(path)
    assert not failure
    assert audio.shape[1] == 4 * SAMPLE_RATE
    assert "more audio than its header says" in info.notes[0]


def test_chunks_behind_the_audio_of_a_wav_file_are_not_audio(tmp_path):
    path = write_audio(tmp_path / "a.wav", tone(440, 1), 16_000)
    notes = b"LIST" + struct.pack("<I", 9000) + b"INFO" + bytes(8996)
    path.write_bytes(path.read_bytes() + notes)
    info, audio, _, failure = heard(path)
    assert (info.notes, audio.shape[1], failure) == ((), SAMPLE_RATE, "")


def test_a_missing_end_of_stream_flag_proves_nothing(tmp_path):
    from streamer.sources.recording import continuity

    path = write_audio(tmp_path / "a.ogg", tone(440, 3, RATE), RATE, "opus")
    data = bytearray(path.read_bytes())
    page = data.rindex(b"OggS")
    data[page + 5] &= ~4
    data[page + 22 : page + 26] = bytes(4)
    checksum = continuity._ogg_checksum(data[page:])
    data[page + 22 : page + 26] = checksum.to_bytes(4, "little")
    path.write_bytes(bytes(data))
    _, audio, gaps, failure = heard(path)
    assert (failure, gaps) == ("", [])
    assert audio.shape[1] == pytest.approx(3 * SAMPLE_RATE, abs=800)


def test_a_cut_through_the_last_frame_of_a_stream_is_no_damage(tmp_path):
    path = write(tmp_path / "a.aac", speech_like(4), "adts")
    path.write_bytes(path.read_bytes()[:-20])
    assert heard(path)[3] == ""


def test_a_guessed_duration_proves_nothing(tmp_path):
    path = write(
        tmp_path / "a.aac", np.concatenate([speech_like(1), np.zeros(5 * RATE, np.float32)]), "adts"
    )
    assert heard(path)[3] == ""


def test_a_cut_matroska_file_says_so(tmp_path):
    path = write(tmp_path / "a.mka", speech_like(6), "mka")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "the file was cut off" in heard(path)[3]


def rewritten(tmp_path, **fields):
    """A WAV file of a tenth of a second with other numbers in its header."""
    path = write_audio(tmp_path / "a.wav", tone(440, 0.1), 16_000)
    data = bytearray(path.read_bytes())
    for place, form, value in fields.values():
        struct.pack_into(form, data, place, value)
    path.write_bytes(bytes(data))
    return path


@pytest.mark.parametrize("rate", [1, 3_999, 384_001, 2**31 - 1])
def test_rates_that_no_recording_has_are_refused(tmp_path, rate):
    with pytest.raises(UserError, match=r"a sample rate of|not a recording"):
        heard(rewritten(tmp_path, rate=(24, "<I", rate)))


def test_more_channels_than_can_be_analysed_are_refused(tmp_path):
    with pytest.raises(UserError, match="at most 8"):
        heard(rewritten(tmp_path, channels=(22, "<H", 9), width=(32, "<H", 18)))


def test_big_endian_wav_is_refused(tmp_path):
    path = write_audio(tmp_path / "a.wav", tone(440, 1), 16_000)
    path.write_bytes(b"RIFX" + path.read_bytes()[4:])
    with pytest.raises(UserError, match="RIFX"):
        heard(path)


def test_a_pipe_is_refused_without_waiting_for_its_writer(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(UserError, match="streamer replay - <"):
        heard(tmp_path / "pipe")


def test_a_name_with_a_colon_is_a_name(tmp_path):
    path = write_audio(tmp_path / "2026-01-01T10:00:00.wav", tone(440, 1), 16_000)
    assert heard(path)[1].shape[1] == SAMPLE_RATE


def test_lists_of_files_are_not_followed(tmp_path):
    write_audio(tmp_path / "a.wav", tone(440, 1), 16_000)
    for name, content in {
        "list.wav": "ffconcat version 1.0\nfile a.wav\n",
        "list.m3u8": "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\na.wav\n#EXT-X-ENDLIST\n",
    }.items():
        (tmp_path / name).write_text(content)
        with pytest.raises(UserError, match="not a recording"):
            heard(tmp_path / name)


def test_samples_that_are_no_numbers_raise_no_warning(tmp_path):
    path = write_audio(tmp_path / "a.wav", np.full(3200, 0.5), 16_000, "float")
    data = bytearray(path.read_bytes())
    place = data.index(b"data") + 8
    data[place : place + 12] = struct.pack("<fff", float("inf"), float("-inf"), float("nan"))
    path.write_bytes(bytes(data))
    assert heard(path)[1][0, :4].tolist() == [1.0, -1.0, 0.0, 0.5]

import struct

import av
import numpy as np
import pytest

from streamer.sources.recording.decoder import Decoder
from tests.audio_files import CODECS, write_audio


def converted_by_ffmpeg(path):
    """The samples [n, channels] as FFmpeg itself makes floats of them, in [-1, 1]."""
    with av.open(str(path)) as container:
        convert = av.AudioResampler(format="flt", layout="stereo")
        pieces = [
            converted.to_ndarray().reshape(-1, 2)
            for frame in container.decode(audio=0)
            for converted in convert.resample(frame)
        ]
    return np.clip(np.concatenate(pieces), -1.0, 1.0)


@pytest.mark.parametrize("size", [1, 7000, 10**9])
@pytest.mark.parametrize("name", CODECS)
def test_every_format_is_what_ffmpeg_makes_of_it_to_the_bit(tmp_path, name, size):
    noise = np.random.default_rng(0).normal(0, 0.4, (24_000, 2))
    path = write_audio(tmp_path / "call", noise, 48_000, name)
    with Decoder(path) as decoder:
        blocks = list(decoder.blocks(size))
    samples = np.concatenate([block.samples for block in blocks])
    assert samples.dtype == np.float32
    np.testing.assert_array_equal(samples, converted_by_ffmpeg(path))
    assert [block.last for block in blocks] == [False] * (len(blocks) - 1) + [True]
    assert all(len(block.samples) >= size for block in blocks[:-1])


@pytest.mark.parametrize("kind", ["<f8", "<f4"])
def test_floats_of_any_size_are_clipped_and_what_is_no_number_is_silence(tmp_path, kind):
    given = np.array([0.5, np.nan, np.inf, -np.inf, 1e30, -7.0, -0.25], kind)
    width = given.itemsize
    header = struct.pack("<HHIIHH", 3, 1, 16_000, 16_000 * width, width, 8 * width)
    chunks = b"".join(
        name + struct.pack("<I", len(content)) + content
        for name, content in ((b"fmt ", header), (b"data", given.tobytes()))
    )
    path = tmp_path / "a.wav"
    path.write_bytes(b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WAVE" + chunks)
    with Decoder(path) as decoder:
        samples = np.concatenate([block.samples for block in decoder.blocks(1)])
    assert samples[:, 0].tolist() == [0.5, 0.0, 1.0, -1.0, 1.0, -1.0, -0.25]

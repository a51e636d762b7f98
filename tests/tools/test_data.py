"""Manifests are read strictly, clips are decoded once, and no speaker is on both sides of a split."""

import numpy as np
import pytest
import soundfile

from streamer.errors import UserError
from tools.data.cache import open_clips
from tools.data.decoding import decode
from tools.data.manifest import manifest_hash, read_manifest

HEADER = "path,corpus,speaker,emotion,emotion4,split\n"


def tone(seconds=0.5, rate=16_000, amplitude=0.5, hertz=440.0):
    return (amplitude * np.sin(2 * np.pi * hertz * np.arange(int(seconds * rate)) / rate)).astype(
        np.float32
    )


def write(folder, lines, rate=16_000):
    """A folder of tones with a manifest of the given lines."""
    for line in lines:
        soundfile.write(folder / line.split(",")[0], tone(rate=rate), rate)
    (folder / "manifest.csv").write_text(HEADER + "".join(f"{line}\n" for line in lines))
    return folder


def test_reads_what_the_manifest_says(tmp_path):
    write(tmp_path, ["a.wav,mine,ann,fury,angry,train", "b.wav,mine,bob,boredom,,dev"])
    first, second = read_manifest(tmp_path)
    assert (first.path, first.speaker, first.emotion, first.emotion4) == (
        "a.wav",
        "ann",
        "fury",
        "angry",
    )
    assert second.emotion4 == ""


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (None, r"no manifest\.csv"),
        ("path,corpus\na.wav,x\n", "column 'speaker'"),
        (HEADER, "lists no clips"),
        (HEADER + "a.wav,x,,,,train\n", "line 2: no speaker"),
        (HEADER + "../a.wav,x,ann,,,train\n", "outside the folder"),
        (HEADER + "/a.wav,x,ann,,,train\n", "outside the folder"),
        (HEADER + "a.wav,x,ann,,,train\na.wav,x,ann,,,train\n", "listed twice"),
        (HEADER + "a.wav,x,ann,,,train\nb.wav,x,ann,,,dev\n", "both the train and the dev"),
    ],
)
def test_a_bad_manifest_is_one_clear_line(tmp_path, content, complaint):
    if content is not None:
        (tmp_path / "manifest.csv").write_text(content)
    with pytest.raises(UserError, match=complaint):
        read_manifest(tmp_path)


@pytest.mark.parametrize("rate", [8_000, 16_000, 48_000])
def test_decodes_to_mono_at_16_khz(tmp_path, rate):
    stereo = np.stack((tone(rate=rate), tone(rate=rate)), axis=1)
    soundfile.write(tmp_path / "a.wav", stereo, rate)
    samples = decode(tmp_path / "a.wav")
    assert samples.dtype == np.float32
    assert abs(len(samples) - 8_000) <= 2
    assert np.abs(samples[500:7000] - tone()[500:7000]).max() < 0.01


@pytest.mark.parametrize("content", [b"", b"this is no sound" * 100, None])
def test_what_is_not_audio_is_one_clear_line(tmp_path, content):
    path = tmp_path / "a.wav"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"a\.wav: cannot be decoded"):
        decode(path)


def test_the_cache_holds_every_clip_and_is_made_once(tmp_path):
    folder = write(tmp_path, ["a.wav,mine,ann,,angry,train", "b.wav,mine,bob,,sad,dev"])
    first = open_clips(folder, tmp_path / "cache")
    assert [len(first.wave(i)) for i in range(2)] == [8_000, 8_000]
    assert np.abs(first.wave(1) - tone()).max() < 1e-4
    (tmp_path / "a.wav").write_bytes(
        b"x" * (tmp_path / "a.wav").stat().st_size
    )  # would fail to decode
    again = open_clips(folder, tmp_path / "cache")
    assert np.array_equal(first.samples, again.samples)


def test_a_changed_folder_is_decoded_anew(tmp_path):
    folder = write(tmp_path, ["a.wav,mine,ann,,angry,train"])
    before = manifest_hash(folder)
    open_clips(folder, tmp_path / "cache")
    soundfile.write(folder / "a.wav", tone(seconds=1.0), 16_000)
    assert manifest_hash(folder) != before
    assert len(open_clips(folder, tmp_path / "cache").wave(0)) == 16_000


def test_a_failed_decoding_leaves_no_cache(tmp_path):
    folder = write(tmp_path, ["a.wav,mine,ann,,angry,train", "b.wav,mine,bob,,sad,dev"])
    (folder / "b.wav").write_bytes(b"broken")
    with pytest.raises(UserError, match=r"b\.wav"):
        open_clips(folder, tmp_path / "cache")
    assert not list((tmp_path / "cache").iterdir())


def test_no_speaker_is_in_both_parts_of_the_shared_speech(shared_data):
    clips = [clip for clip in read_manifest(shared_data / "speech") if clip.is_speech]
    speakers = {
        split: {clip.speaker for clip in clips if clip.split == split} for split in ("train", "dev")
    }
    assert all(speakers.values())
    assert not speakers["train"] & speakers["dev"]

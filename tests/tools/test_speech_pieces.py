"""Pieces of speech in versions: equal for equal pieces, as live utterances have them."""

import json

import numpy as np
import pytest
import soundfile

from streamer.errors import UserError
from tests.tools import small_world
from tools.data.cache import open_clips
from tools.training.tasks.speech_pieces import Calls, Piece, Speech, Version, loud_part

SECOND = 16_000


@pytest.fixture(scope="module")
def speech(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speech") / "speech"
    small_world.speech(folder)
    return Speech(open_clips(folder, folder.parent / "cache"), Calls([], []), [])


def tone(seconds):
    return (0.3 * np.sin(np.arange(int(seconds * SECOND)) / 5)).astype(np.float32)


def test_keeps_the_loud_part_with_a_margin():
    wave = np.concatenate([np.zeros(SECOND), tone(1.0), np.zeros(SECOND)]).astype(np.float32)
    kept = loud_part(wave, 0.3, 0.2)
    assert len(kept) == pytest.approx(1.5 * SECOND, abs=320)


@pytest.mark.parametrize("wave", [np.zeros(0, np.float32), np.zeros(SECOND, np.float32)])
def test_keeps_all_of_nothing_and_of_silence(wave):
    assert len(loud_part(wave, 0.1, 0.1)) == len(wave)


@pytest.mark.parametrize("version", list(Version))
def test_gives_equal_samples_for_an_equal_piece_and_version(speech, version):
    (piece,) = speech.clip_pieces([3])
    first, second = speech.wave(piece, version), speech.wave(piece, version)
    assert np.array_equal(first, second)
    assert first.dtype == np.float32
    assert len(first) >= 0.1 * SECOND


def test_cuts_calm_speech_into_pieces_without_gaps(tmp_path):
    folder = tmp_path / "speech"
    folder.mkdir()
    soundfile.write(folder / "reader.wav", tone(20.0), SECOND)
    (folder / "manifest.csv").write_text("path,speaker\nreader.wav,ann\n")
    speech = Speech(open_clips(folder, tmp_path / "cache"), Calls([], []), [])
    pieces = speech.calm_pieces([0])
    assert [p.start for p in pieces[1:]] == [p.stop for p in pieces[:-1]]
    assert all(p.stop - p.start <= 6 * SECOND for p in pieces)
    assert speech.clip(Piece(0, 0, 5)).speaker == "ann"


def test_cuts_calls_where_the_events_say_by_channel(tmp_path):
    stereo = np.stack([tone(3.0), -tone(3.0)], axis=1)
    soundfile.write(tmp_path / "call.ogg", stereo, SECOND, format="OGG", subtype="OPUS")
    events = [
        {"type": "session_started", "source": "call.ogg", "channels": ["agent", "caller"]},
        {"type": "utterance", "channel": "caller", "start": 1.0, "end": 2.0},
    ]
    folder = tmp_path / "events"
    folder.mkdir()
    (folder / "call-024013a5.jsonl").write_text("".join(json.dumps(e) + "\n" for e in events))
    calls = Calls.of(tmp_path, folder)
    assert [len(wave) for wave in calls.waves] == [SECOND]
    assert [clip.speaker for clip in calls.clips] == ["call"]
    assert calls.durations == {"call": pytest.approx(3, rel=0.05)}
    assert not len(calls.only(set()).waves[0])


def test_says_in_one_line_that_a_file_holds_several_sessions(tmp_path):
    started = {"type": "session_started", "source": "call.ogg", "channels": ["mono"]}
    (tmp_path / "both.jsonl").write_text(f"{json.dumps(started)}\n" * 2)
    with pytest.raises(UserError, match=r"both\.jsonl: 2 sessions instead of one"):
        Calls.of(tmp_path, tmp_path)


def test_says_in_one_line_that_events_are_missing(tmp_path):
    with pytest.raises(UserError, match="no events here"):
        Calls.of(tmp_path, tmp_path)

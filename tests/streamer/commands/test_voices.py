"""`streamer voices`: enrolling, listing and forgetting people by their voices."""

import json
import stat

import numpy as np
import pytest
import soundfile

from streamer import cli
from streamer.commands import OK, WRONG
from streamer.errors import UserError
from streamer.speech import voice_prints
from tools.data.decoding import decode


@pytest.fixture
def state(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    return tmp_path / "state" / "streamer"


def unit(seed):
    vector = np.abs(np.random.default_rng(seed).normal(size=192)).astype(np.float32)
    return vector / np.linalg.norm(vector)


def test_nobody_is_enrolled_at_first(state, capsys):
    assert cli.main(["voices", "list"]) == OK
    assert capsys.readouterr().out == ""
    assert not state.exists()


def test_only_the_user_can_read_voice_prints(state):
    voice_prints.save({"Ann": unit(0)})
    assert stat.S_IMODE((state / "voices.json").stat().st_mode) == 0o600
    assert stat.S_IMODE(state.stat().st_mode) == 0o700
    assert voice_prints.load()["Ann"] == pytest.approx(unit(0), abs=1e-5)


def test_who_is_forgotten_leaves_nothing_behind(state, capsys):
    voice_prints.save({"Ann": unit(0), "Bob": unit(1)})
    assert cli.main(["voices", "forget", "Ann"]) == OK
    assert cli.main(["voices", "list"]) == OK
    assert capsys.readouterr().out == "Bob\n"
    assert cli.main(["voices", "forget", "Bob"]) == OK
    assert not list(state.iterdir())


def test_forgetting_a_stranger_is_a_mistake(state, capsys):
    assert cli.main(["voices", "forget", "Zed"]) == WRONG
    assert "not enrolled" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["", " ", "mono/1", "a\nb", "x" * 65])
def test_a_name_must_be_fit_for_a_label(state, capsys, name):
    assert cli.main(["voices", "enroll", name, "call.wav"]) == WRONG
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"encoder": "other", "voices": {}}',
        '{"encoder": "speaker-campplus-1", "voices": {"Ann": [1, 2]}}',
        '{"encoder": "speaker-campplus-1", "voices": {"Ann": "x"}}',
        '{"encoder": "speaker-campplus-1", "voices": []}',
        "[" * 100_000,
    ],
)
def test_a_file_of_something_else_is_one_clear_line(state, content):
    state.mkdir(parents=True)
    (state / "voices.json").write_text(content)
    with pytest.raises(UserError, match=r"voices\.json"):
        voice_prints.load()


def test_enrolls_somebody_who_speaks_long_enough(state, shared_data, capsys):
    recording = shared_data / "calls" / "asr_two_cities.ogg"
    assert cli.main(["voices", "enroll", "Charles", str(recording)]) == OK
    said = capsys.readouterr()
    assert "biometric" in said.err
    assert "Charles: enrolled" in said.out
    stored = json.loads((state / "voices.json").read_text())
    assert list(stored["voices"]) == ["Charles"]


def test_refuses_too_little_speech(state, shared_data, capsys):
    recording = shared_data / "calls" / "asr_LJ001-0002.ogg"
    assert cli.main(["voices", "enroll", "LJ", str(recording)]) == WRONG
    assert "10 s or more" in capsys.readouterr().err
    assert not state.exists()


def test_refuses_two_voices(state, shared_data, tmp_path, capsys):
    both = [decode(shared_data / "calls" / f"{name}.ogg") for name in ("asr_two_cities", "asr_jfk")]
    one, other = (each[: 11 * 16_000] for each in both)
    soundfile.write(tmp_path / "both.wav", np.concatenate([one, other]), 16_000)
    assert cli.main(["voices", "enroll", "Both", str(tmp_path / "both.wav")]) == WRONG
    assert "more than one person" in capsys.readouterr().err


def test_asks_for_a_recording_or_a_microphone(state, capsys):
    assert cli.main(["voices", "enroll", "Ann"]) == WRONG
    assert "give a recording or --device" in capsys.readouterr().err

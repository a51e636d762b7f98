"""Speakers of one channel, against turns: composed dialogues, halves, error rates, the whole command."""

import argparse
import json
import shutil

import numpy as np
import pytest

from streamer.errors import UserError
from tests.tools import small_world
from tools.data.mono_dialogues import compose, stretches, trimmed
from tools.evaluate import diarization
from tools.evaluate.diarization import part_of
from tools.evaluate.rttm import Annotated, Turn
from tools.evaluate.speaker_causes import causes
from tools.evaluate.speaker_errors import Diarized, Spoken, errors


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Four dev speakers of tones, so a pair for each half."""
    folder = tmp_path_factory.mktemp("clips") / "speech"
    small_world.speech(folder)
    table = folder / "manifest.csv"
    table.write_text(table.read_text().replace(",train\n", ",dev\n"))
    return folder


def test_equal_seeds_compose_equal_dialogues(clips):
    first, second = (list(compose(clips, "test", 2, seed=3)) for _ in range(2))
    other = next(compose(clips, "test", 1, seed=4))
    assert [each.turns for each in first] == [each.turns for each in second]
    assert np.array_equal(first[1].samples, second[1].samples)
    assert other.turns != first[0].turns


def test_no_speaker_is_in_both_halves(clips):
    speakers = [
        {turn.speaker for each in compose(clips, half, 2) for turn in each.turns}
        for half in ("development", "test")
    ]
    assert all(len(each) == 2 for each in speakers)
    assert not speakers[0] & speakers[1]


def test_turns_lie_where_the_voice_is(clips):
    dialogue = next(compose(clips, "development", 1))
    loud = np.abs(dialogue.samples) > 0.01
    for turn in dialogue.turns:
        inside = loud[round(turn.start * 16_000) : round(turn.end * 16_000)]
        assert inside.mean() > 0.5
    assert 12 <= len(dialogue.turns) <= 16
    assert dialogue.turns[-1].end < len(dialogue.samples) / 16_000


def test_silence_at_the_ends_of_a_clip_is_no_turn():
    assert len(trimmed(noises(0.001, 0.1, 0.1, 0.001))) == pytest.approx(16_000, abs=1600)


def noises(*levels):
    """Half a second of noise of each level."""
    rng = np.random.default_rng(0)
    return np.concatenate([rng.normal(0, level, 8000) for level in levels]).astype(np.float32)


def test_pauses_within_a_clip_are_no_speech():
    clip = noises(0.1, 0.1, 0.001, 0.1)
    found = [(low / 16_000, high / 16_000) for low, high in stretches(clip)]
    assert [pytest.approx(each, abs=0.05) for each in ((0, 1), (1.5, 2))] == found


def test_short_pauses_within_a_clip_are_speech():
    clip = np.concatenate([noises(0.1), noises(0.001)[:4000], noises(0.1)])
    assert len(stretches(clip)) == 1


def test_what_is_said_lies_within_its_turn(clips):
    for turn in next(compose(clips, "development", 1)).turns:
        assert turn.start <= turn.speech[0][0]
        assert turn.speech[-1][1] <= turn.end


def recording(tmp_path, name, *speakers):
    turns = tuple(Turn(i, i + 1, 1, speaker) for i, speaker in enumerate(speakers))
    return Annotated(tmp_path / f"{name}.ogg", turns)


def test_recordings_that_share_a_speaker_are_in_one_half(tmp_path):
    chain = [
        recording(tmp_path, "a", "ann", "bob"),
        recording(tmp_path, "b", "eve"),
        recording(tmp_path, "c", "bob", "cid"),
        recording(tmp_path, "d", "cid"),
    ]
    names = [[one.file.stem for one in part_of(chain, half)] for half in ("development", "test")]
    assert names == [["a", "c", "d"], ["b"]]


TURNS = (Spoken(0, 4, "ann"), Spoken(3, 8, "bob"))


def test_a_perfect_hypothesis_has_no_errors_whatever_its_names():
    said = [Spoken(one.start, one.end, {"ann": "1", "bob": "2"}[one.speaker]) for one in TURNS]
    result = errors([Diarized(10, TURNS, said)])
    assert result["der"]["value"] == 0
    assert result["purity"]["value"] == result["speakers_right"]["value"] == 1


def test_errors_are_shares_of_the_time_spoken():
    said = [Spoken(0, 9, "mono")]
    result = errors([Diarized(10, TURNS, said)])
    # 9 s spoken: 1 s of overlap is missed, 1 s at the end is nobody's, 3 s are ann's, called bob's
    assert result["der"] == {
        "value": pytest.approx(5 / 9, abs=1e-4),
        "low": None,
        "high": None,
        "missed": pytest.approx(1 / 9, abs=1e-4),
        "false_alarm": pytest.approx(1 / 9, abs=1e-4),
        "confusion": pytest.approx(3 / 9, abs=1e-4),
    }
    assert result["der_no_overlap"]["value"] == pytest.approx(4 / 7, abs=1e-4)
    assert result["der_collar"]["value"] < result["der"]["value"]
    assert result["speakers_right"]["value"] == 0


def test_gives_intervals_over_recordings():
    good, bad = Diarized(10, TURNS, TURNS), Diarized(10, TURNS, ())
    der = errors([good, bad])["der"]
    assert (der["low"], der["value"], der["high"]) == (0.0, 0.5, 1.0)


def arguments(tmp_path, **given):
    plain = {
        "data": None,
        "speech": None,
        "composed": 1,
        "seed": 0,
        "half": "development",
        "config": None,
        "set": [],
        "json": tmp_path / "result.json",
    }
    return argparse.Namespace(**plain | given)


def test_measures_composed_dialogues_through_the_pipeline(clips, tmp_path):
    diarization.run(arguments(tmp_path, speech=clips))
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["n"] == 1
    assert 0 < result["der"]["value"] <= 1
    assert set(result["groups"]["group"]) == {"room"}


def test_measures_a_real_telephone_call(shared_data, tmp_path):
    for suffix in (".ogg", ".rttm"):
        shutil.copy(shared_data / "calls" / f"tel_pyannote_sample{suffix}", tmp_path)
    diarization.run(arguments(tmp_path, data=tmp_path))
    result = json.loads((tmp_path / "result.json").read_text())
    assert result["groups"]["recording"]["tel_pyannote_sample"]["n"] == 1
    assert result["der"]["value"] < 0.6
    assert 0.2 <= result["latency"]["since_end"]["median"] <= 0.75  # end_silence and a frame


def test_says_when_there_is_nothing_to_measure(tmp_path):
    with pytest.raises(UserError, match="--data"):
        diarization.run(arguments(tmp_path))


def test_divides_errors_by_their_causes():
    turns = (Spoken(0, 4, "ann"), Spoken(3, 8, "bob"))
    said = [Spoken(0.1, 4, "1"), Spoken(5, 6, "2"), Spoken(7, 9, "1")]
    found = causes([Diarized(10, turns, said)])
    spoken = 9
    expected = {
        "missed_overlap": 1,  # 3 to 4
        "missed_edge": 0.1 + 0.25,  # at 0; after 4
        "missed_inside": 1 - 0.25 + 1,  # the rest up to 5; 6 to 7
        "false_edge": 0.25,  # after 8
        "false_outside": 0.75,
        "confusion": 1,  # 7 to 8
    }
    shares = {name: seconds / spoken for name, seconds in expected.items()}
    assert {name: found[name] for name in shares} == pytest.approx(shares, abs=1e-3)
    der = errors([Diarized(10, turns, said)])["der"]["value"]
    assert sum(found[name] for name in shares) == pytest.approx(der, abs=2e-3)
    assert found["perfect_labels"] == pytest.approx(der - 1 / spoken, abs=2e-3)
    assert found["perfect_speech"] == pytest.approx(3 / spoken, abs=5e-3)


def test_has_no_causes_where_nobody_speaks():
    assert set(causes([Diarized(10, (), ())]).values()) == {None}

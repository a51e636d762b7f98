"""Both forms of IEMOCAP are read as what they are, and what is damaged is named."""

import gzip

import numpy as np
import pytest

from streamer.errors import UserError
from tests.tools.iemocap_corpus import SAID, write_features, write_release
from tools.data.iemocap import data_hashes, read_features, read_utterances
from tools.data.iemocap_release import read_release, release_hash, wave_path


@pytest.fixture
def folder(tmp_path):
    return write_features(tmp_path / "features")


def every(dialogues):
    return [utterance for dialogue in dialogues for utterance in dialogue]


def test_the_sessions_asked_for_are_read_in_the_order_of_speaking(folder):
    dialogues = read_utterances(folder, [1, 3])
    assert {u.session for u in every(dialogues)} == {1, 3}
    assert len(dialogues) == 4
    for dialogue in dialogues:
        assert len({u.dialogue for u in dialogue}) == 1
        assert [u.end for u in dialogue] == sorted(u.end for u in dialogue)


def test_a_frustrated_turn_stays_without_a_label(folder):
    frustrated = [u for u in every(read_utterances(folder)) if u.emotion == "frustration"]
    assert frustrated
    assert {u.emotion4 for u in frustrated} == {""}


def test_frames_and_statistics_belong_to_their_utterance(folder):
    utterances = every(read_utterances(folder, [2]))
    features = read_features(folder, utterances)
    for utterance in utterances:
        place = list(SAID).index(utterance.emotion)
        bands = features.frames(utterance).mean(axis=0)
        assert bands[12 * place : 12 * place + 12].mean() > 15
        assert abs(features.statistics(utterance)[0] - 3 * place) < 4.5


def test_what_comes_from_the_transcript_is_no_statistic_of_the_sound(folder):
    names = read_features(folder, every(read_utterances(folder, [1]))).names
    assert names == ("f0st_mean", "energy_mean", "dur_s", "rmse_mean", "silence")


def test_long_utterances_have_their_frames_brought_to_the_common_step(folder):
    from dataclasses import replace

    utterance = every(read_utterances(folder, [1]))[0]
    features = read_features(folder, [utterance])
    frames = features.frames(utterance)
    assert len(features.frames(replace(utterance, hop_s=0.064))) == 2 * len(frames)


def test_an_utterance_that_the_files_lack_is_known_to_be_absent(folder):
    from dataclasses import replace

    utterance = every(read_utterances(folder, [1]))[0]
    features = read_features(folder, [utterance])
    assert utterance in features
    assert replace(utterance, name="Ses01F_impro99_F000") not in features


def test_hashes_are_of_the_files_of_these_sessions(folder):
    hashes = data_hashes(folder, [1])
    assert set(hashes) == {"utterances.csv.gz", "acoustic_stats.npz", "logmel64_session1.npz"}


def test_a_session_that_is_not_there_is_named(folder):
    with pytest.raises(UserError, match="session 5"):
        read_utterances(folder, [1, 5])


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"no utterances\.csv\.gz here"):
        read_utterances(tmp_path)


def test_a_cut_off_table_is_refused(folder):
    path = folder / "utterances.csv.gz"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(UserError, match="damaged"):
        read_utterances(folder)


def test_a_line_that_makes_no_sense_is_named(folder):
    path = folder / "utterances.csv.gz"
    content = gzip.decompress(path.read_bytes()).decode().replace(",angry,", ",furious,", 1)
    path.write_bytes(gzip.compress(content.encode()))
    with pytest.raises(UserError, match=r"line \d+: emotion4"):
        read_utterances(folder)


@pytest.mark.parametrize("damage", ["gone", "cut", "pickled", "offsets"])
def test_damaged_features_are_refused(folder, damage):
    utterances = every(read_utterances(folder, [1]))
    path = folder / "logmel64_session1.npz"
    with np.load(path) as arrays:
        content = dict(arrays)
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:1000])
    elif damage == "pickled":
        content["frames"] = np.array([{"a": 1}], dtype=object)
        np.savez(path, **content, allow_pickle=True)
    else:
        content["offsets"] = content["offsets"] + 1
        np.savez(path, **content)
    with pytest.raises(UserError, match="logmel64_session1"):
        read_features(folder, utterances)


def test_the_release_is_read_as_its_folders_say(tmp_path):
    root = write_release(tmp_path / "release")
    dialogues = read_release(root, [1, 2])
    utterances = every(dialogues)
    assert len(dialogues) == 4
    assert len(utterances) == 20
    assert {u.speaker for u in utterances} == {"Ses01_F", "Ses01_M", "Ses02_F", "Ses02_M"}
    assert {u.scenario for u in utterances} == {"impro", "script"}
    for utterance in utterances:
        assert utterance.text == SAID[utterance.emotion]
        assert wave_path(root, utterance).is_file()
    assert {u.emotion4 for u in utterances} == {"angry", "happy", "sad", "neutral", ""}
    assert len({release_hash(root, dialogues), release_hash(root, dialogues[:1])}) == 2


def test_a_folder_that_is_no_release_is_refused(tmp_path):
    with pytest.raises(UserError, match="IEMOCAP_full_release"):
        read_release(tmp_path, [1])
